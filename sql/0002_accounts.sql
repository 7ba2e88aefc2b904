-- Addresses are matched without regard to case from now on, and one is registered once. The older system took them
-- letter by letter, so two rows may differ in case only. Both stay and both still sign in: an exact match wins. The oldest
-- one owns the address in every other spelling; the others are marked, and the unique index leaves them out.
alter table users add column case_variant boolean not null default false;

update users u
set case_variant = true
where exists (
    select from users other
    where lower(other.email) = lower(u.email)
      and other.id < u.id
);

create unique index users_email_key on users (lower(email)) where not case_variant;
create index users_email_lower on users (lower(email));
create unique index users_id_key on users (id);

-- Rows without times are as old as their neighbours say, at the latest from today.
update users
set created_at = coalesce(created_at, updated_at, now() at time zone 'utc'),
    updated_at = coalesce(updated_at, created_at, now() at time zone 'utc')
where created_at is null or updated_at is null;

alter table users
    alter column created_at set default (now() at time zone 'utc'),
    alter column created_at set not null,
    alter column updated_at set default (now() at time zone 'utc'),
    alter column updated_at set not null;
