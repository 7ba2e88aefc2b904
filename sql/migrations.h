/*
 * migrations.h: the .sql files of this folder as they were at build time, in the order of their numbers (1, 2, … without a
 * gap), for migrate.c and its test. embed.cmake writes the table.
 */
#ifndef PIXBUS_SQL_MIGRATIONS_H
#define PIXBUS_SQL_MIGRATIONS_H

struct migration {
    unsigned version;
    const char *name;
    const char *checksum; /* SHA-256 of the file, in hexadecimal */
    const char *sql;
};

extern const struct migration migration_table[];
extern const unsigned migration_count;

#endif
