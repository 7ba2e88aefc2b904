-- How far an item's image is. What the older system shows is ready; what is posted from now on begins as pending.
alter table feeditems
    add column state text not null default 'ready' check (state in ('pending', 'ready', 'rejected')),
    add column reject_reason text,
    add column width integer check (width > 0),
    add column height integer check (height > 0),
    -- Of the newest event on the image: lower case, without the zeros at its end, so that text order is S3's order.
    add column sequencer text collate "C",
    -- The owner is compared letter by letter, because accounts exist whose addresses differ in case only.
    add column owner_exact boolean not null default false;

alter table feeditems
    alter column state set default 'pending',
    alter column created_at set default (now() at time zone 'utc'),
    alter column updated_at set default (now() at time zone 'utc');

update feeditems
set owner_exact = true
where lower(created_by) in (select lower(email) from users where case_variant);

-- A page is a range of this index, in whichever direction; the older system's index on the time alone adds nothing to it.
create index feeditems_page on feeditems (updated_at desc, id desc);
drop index if exists feeditems_updated_at;
create index feeditems_pending on feeditems (updated_at desc, id desc) where state = 'pending';
create index feeditems_image on feeditems (image_id);
