/*
 * email.h: is this text an email address that an account may have?
 */
#ifndef PIXBUS_USERS_EMAIL_H
#define PIXBUS_USERS_EMAIL_H

#include "base/limits.h"
#include "base/text.h"

#define EMAIL_LOCAL_BYTES_MAX 64 /* RFC 5321, section 4.5.3.1.1 */
#define EMAIL_LABEL_BYTES_MAX 63 /* RFC 1035, section 2.3.4 */

/*
 * One @ between a local part without blanks and controls, and a domain of labels of letters, digits, hyphens and anything
 * beyond ASCII (RFC 6531), at most LIMIT_EMAIL_BYTES together. Only a mail that arrives would tell more; quoted local
 * parts with blanks or a second @, and address literals in brackets, are refused.
 */
bool email_valid(struct text email);

#endif
