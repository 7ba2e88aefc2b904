-- The tables as the older system made them. An installation of it has them already, and keeps every row; its own record of
-- migrations (__diesel_schema_migrations) is left alone.
create table if not exists users (
    id serial not null,
    email varchar primary key,
    password_hash varchar,
    created_at timestamp,
    updated_at timestamp
);

create table if not exists feeditems (
    id serial primary key,
    created_by varchar not null,
    image_id varchar not null,
    caption varchar,
    created_at timestamp not null,
    updated_at timestamp not null
);
