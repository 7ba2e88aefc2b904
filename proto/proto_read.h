/*
 * proto_read.h: one reading of the .def files. Define the macros that you want, then include this; it makes the others
 * empty, reads PROTO_READ (all tables unless set), and undefines everything again. No include guard: it is read often.
 */
#ifndef ENUM_BEGIN
#define ENUM_BEGIN(enumeration, doc)
#endif
#ifndef ENUM_VALUE
#define ENUM_VALUE(enumeration, constant, number, name)
#endif
#ifndef ENUM_END
#define ENUM_END(enumeration)
#endif
#ifndef RECORD_BEGIN
#define RECORD_BEGIN(record, doc)
#endif
#ifndef RECORD_END
#define RECORD_END(record)
#endif
#ifndef FIELD_UINT
#define FIELD_UINT(record, name, presence, minimum, maximum, error, doc)
#endif
#ifndef FIELD_BOOL
#define FIELD_BOOL(record, name, presence, error, doc)
#endif
#ifndef FIELD_TIME
#define FIELD_TIME(record, name, presence, error, doc)
#endif
#ifndef FIELD_TEXT
#define FIELD_TEXT(record, name, presence, minimum, maximum, error, doc)
#endif
#ifndef FIELD_SECRET
#define FIELD_SECRET(record, name, presence, minimum, maximum, error, doc)
#endif
#ifndef FIELD_ENUM
#define FIELD_ENUM(record, name, presence, enumeration, error, doc)
#endif
#ifndef FIELD_LIST
#define FIELD_LIST(record, name, item, maximum, error, doc)
#endif
#ifndef MESSAGE
#define MESSAGE(number, name, service, request, reply, safety, lane, deadline_ms, doc)
#endif
#ifndef PROTO_READ
#define PROTO_READ "messages.def"
#endif

#include PROTO_READ

#undef ENUM_BEGIN
#undef ENUM_VALUE
#undef ENUM_END
#undef RECORD_BEGIN
#undef RECORD_END
#undef FIELD_UINT
#undef FIELD_BOOL
#undef FIELD_TIME
#undef FIELD_TEXT
#undef FIELD_SECRET
#undef FIELD_ENUM
#undef FIELD_LIST
#undef MESSAGE
#undef PROTO_READ
