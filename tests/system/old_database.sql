-- A dump of an installation of the older system, in the shape that pg_dump gives it. The passwords are
-- ann: correct horse battery staple    ben: pässwörd ✓    cem: short    (argon2id, m=4096, t=3, p=1)
SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET check_function_bodies = false;

CREATE TABLE public.__diesel_schema_migrations (
    version character varying(50) NOT NULL,
    run_on timestamp without time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
);
CREATE TABLE public.feeditems (
    id integer NOT NULL,
    created_by character varying NOT NULL,
    image_id character varying NOT NULL,
    caption character varying,
    created_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL
);
CREATE SEQUENCE public.feeditems_id_seq AS integer START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.feeditems_id_seq OWNED BY public.feeditems.id;
CREATE TABLE public.users (
    id integer NOT NULL,
    email character varying NOT NULL,
    password_hash character varying,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE SEQUENCE public.users_id_seq AS integer START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.users_id_seq OWNED BY public.users.id;
ALTER TABLE ONLY public.feeditems ALTER COLUMN id SET DEFAULT nextval('public.feeditems_id_seq'::regclass);
ALTER TABLE ONLY public.users ALTER COLUMN id SET DEFAULT nextval('public.users_id_seq'::regclass);

COPY public.__diesel_schema_migrations (version, run_on) FROM stdin;
00000000000000	2021-03-01 08:00:00.111111
20210301080000	2021-03-01 08:00:00.222222
\.
COPY public.feeditems (id, created_by, image_id, caption, created_at, updated_at) FROM stdin;
3	Ann@example.org	1f0e4a2b3c4d5e6f708192a3b4c5d6e7	the first that is left	2021-03-02 10:00:00	2021-03-02 10:00:00
7	ben@example.org	picture of ben.jpg	\N	2021-03-03 10:00:00.5	2021-03-04 11:12:13.141516
8	ann@example.org	2f0e4a2b3c4d5e6f708192a3b4c5d6e7	ünïcödé 🌄	2021-03-04 11:12:13.141516	2021-03-04 11:12:13.141516
9	gone@example.org	3f0e4a2b3c4d5e6f708192a3b4c5d6e7	of nobody who is left	2021-03-05 00:00:00	2021-03-05 00:00:00
\.
COPY public.users (id, email, password_hash, created_at, updated_at) FROM stdin;
1	Ann@example.org	$argon2id$v=19$m=4096,t=3,p=1$b2xkLXNhbHQtb2YtYW5uMQ$qUSceUQNjY2sGdNv0NZfXKH10pNuVaWk6D4B8NF6JqA	2021-03-01 09:00:00.123456	2021-03-01 09:00:00.123456
2	ben@example.org	$argon2id$v=19$m=4096,t=3,p=1$b2xkLXNhbHQtb2YtYmVuMQ$A184CflQXFe17vnaxlikXFopAvcKnT2rUwfVJwi3hZo	2021-03-01 10:00:00	\N
5	cem@example.org	$argon2id$v=19$m=4096,t=3,p=1$b2xkLXNhbHQtb2YtY2VtMQ$CS+gisoK7Hxq7CipaS/t1PziCeLK65+YjR78uDnQF4k	\N	\N
6	nopassword@example.org	\N	2021-03-01 11:00:00	2021-03-01 11:00:00
7	broken@example.org	$argon2id$v=19$m=4194304,t=3,p=1$b2xkLXNhbHQtb2YtYW5uMQ$qUSceUQNjY2sGdNv0NZfXKH10pNuVaWk6D4B8NF6JqA	2021-03-01 12:00:00	2021-03-01 12:00:00
\.
SELECT pg_catalog.setval('public.feeditems_id_seq', 12, true);
SELECT pg_catalog.setval('public.users_id_seq', 7, true);

ALTER TABLE ONLY public.__diesel_schema_migrations ADD CONSTRAINT __diesel_schema_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.feeditems ADD CONSTRAINT feeditems_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (email);
CREATE INDEX feeditems_updated_at ON public.feeditems USING btree (updated_at);
