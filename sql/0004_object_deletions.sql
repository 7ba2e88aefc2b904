-- Objects to be deleted from the object storage, written in the same transaction as the end of their item. A row goes when
-- the storage has confirmed. due_at is also the claim of the instance that is at it: nobody else takes it before.
create table object_deletions (
    id bigint generated always as identity primary key,
    bucket text not null,
    object_key text not null,
    attempts integer not null default 0,
    due_at timestamp not null default (now() at time zone 'utc'),
    last_error text,
    created_at timestamp not null default (now() at time zone 'utc')
);

create index object_deletions_due on object_deletions (due_at);
