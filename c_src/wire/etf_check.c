/* SPDX-License-Identifier: Apache-2.0 */
/* etf_check.c - the loop: how many terms each open container still wants.
 * What a term looks like, etf_rules.c knows. */
#include "etf_check.h"

#include "err.h"
#include "etf_handle.h"
#include "etf_rules.h"
#include "etf_tags.h"

/* What etf_check.started counts. */
enum { AT_VERSION, AT_ROOT, IN_ROOT };

void
etf_check_init(struct etf_check *c, uint32_t flags, uint32_t max_depth)
{
    c->at = 0;
    c->skip = 0;
    c->flags = flags;
    c->max_depth =
        max_depth < ETF_CHECK_MAX_DEPTH ? max_depth : ETF_CHECK_MAX_DEPTH;
    c->depth = 0;
    c->started = AT_VERSION;
    c->words = 0;
    c->max_words = ETF_CHECK_ANY_WORDS;
}

/* Containers that want nothing more are closed. */
static void
close_full(struct etf_check *c)
{
    while (c->depth > 0 && c->left[c->depth - 1] == 0)
        c->depth--;
}

/* Long lists of small integers are common; here they cost no call each. */
static void
take_small_integers(struct etf_check *c, const uint8_t *body, size_t len)
{
    uint64_t left = c->left[c->depth - 1];
    size_t at = c->at;
    while (left > 0 && len - at >= 2 && body[at] == ETF_SMALL_INTEGER) {
        at += 2;
        left--;
    }
    c->left[c->depth - 1] = left;
    c->at = at;
    close_full(c);
}

/* May it be, since its flag is not set?  Then only as a handle, of which all
 * has to be there to see that it is one. */
static int
may_be_handle(const struct etf_check *c, const struct etf_rule *rule)
{
    return rule->needs == ETF_ALLOW_IDS && (c->flags & ETF_ALLOW_HANDLES) != 0;
}

static int
is_too_big(const struct etf_check *c, uint8_t tag, const struct etf_term *t)
{
    return tag == ETF_LARGE_BIG && t->body > ETF_CHECK_STRANGE_BIG &&
           !(c->flags & ETF_ALLOW_IDS);
}

/* Judge one term's head; on any error the state is as before. */
static int
take_head(struct etf_check *c, const uint8_t *p, size_t have)
{
    const struct etf_rule *rule = &etf_rules[p[0]];
    struct etf_term t = {0};
    if (rule->check == NULL)
        return E_FORMAT;
    int leave = (rule->needs & ~c->flags) == 0;
    if (!leave && !may_be_handle(c, rule))
        return E_REFUSED;
    int e = rule->check(p, have, &t);
    if (e != 0)
        return e;
    if (!leave && !etf_is_handle(p, t.head))
        return E_REFUSED;
    if (is_too_big(c, p[0], &t))
        return E_LIMIT;
    if (t.children > 0 && c->depth == c->max_depth)
        return E_DEPTH;
    if (t.words > c->max_words - c->words)
        return E_WORDS;
    c->words += t.words;
    if (c->depth > 0)
        c->left[c->depth - 1]--;
    if (t.children > 0)
        c->left[c->depth++] = t.children;
    else
        close_full(c);
    c->started = IN_ROOT;
    c->at += t.head;
    c->skip = t.body;
    return 0;
}

/* Of a body that needs no judging, as much as is there; 1 when it is done. */
static int
take_body(struct etf_check *c, size_t len)
{
    size_t n = len - c->at;
    if (n > c->skip)
        n = c->skip;
    c->at += n;
    c->skip -= n;
    return c->skip == 0;
}

static int
take_version(struct etf_check *c, const uint8_t *body, size_t len)
{
    if (len == 0)
        return E_AGAIN;
    if (body[0] != ETF_VERSION)
        return E_FORMAT;
    c->at = 1;
    c->started = AT_ROOT;
    return 0;
}

int
etf_check(struct etf_check *c, const uint8_t *body, size_t len)
{
    int e = c->started == AT_VERSION ? take_version(c, body, len) : 0;
    while (e == 0) {
        if (c->skip > 0 && !take_body(c, len))
            return E_AGAIN;
        if (c->started == IN_ROOT && c->depth == 0)
            return c->at == len ? 0 : E_TRAILING;
        if (c->at == len)
            return E_AGAIN;
        if (body[c->at] == ETF_SMALL_INTEGER && c->depth > 0 &&
            len - c->at >= 2)
            take_small_integers(c, body, len);
        else
            e = take_head(c, body + c->at, len - c->at);
    }
    return e;
}

int
etf_check_all(const uint8_t *body, size_t len, uint32_t flags,
              uint32_t max_depth)
{
    struct etf_check c;
    etf_check_init(&c, flags, max_depth);
    int e = etf_check(&c, body, len);
    return e == E_AGAIN ? E_SHORT : e;
}
