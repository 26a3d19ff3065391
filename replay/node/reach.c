/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/node/reach.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IPV6_BITS 128
#define MAPPED_BITS 96 /* before an IPv4 address that is written as an IPv6 one */

/* Of both families as one: IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). Zero for others. */
static struct in6_addr as_ipv6(const struct endpoint *e)
{
	struct in6_addr address = { 0 };

	if (e->at.ss_family == AF_INET6)
		return ((const struct sockaddr_in6 *)&e->at)->sin6_addr;
	if (e->at.ss_family != AF_INET)
		return address;
	address.s6_addr[10] = address.s6_addr[11] = 0xff;
	memcpy(&address.s6_addr[12], &((const struct sockaddr_in *)&e->at)->sin_addr, 4);
	return address;
}

static in_port_t port_of(const struct endpoint *e)
{
	return e->at.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&e->at)->sin6_port :
					     ((const struct sockaddr_in *)&e->at)->sin_port;
}

static bool begin_alike(const struct in6_addr *a, const struct in6_addr *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes))
		return false;
	return !rest || !((a->s6_addr[bytes] ^ b->s6_addr[bytes]) >> (8 - rest));
}

static bool is_loopback(const struct in6_addr *a)
{
	return IN6_IS_ADDR_LOOPBACK(a) ||
	       (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == IN_LOOPBACKNET);
}

/*
 * An address of this machine, whatever it is called: who is there can be reached from here anyway.
 */
static bool is_own(const struct in6_addr *address)
{
	struct ifaddrs *all = NULL;
	bool own = false;

	if (getifaddrs(&all))
		return false;
	for (const struct ifaddrs *i = all; i && !own; i = i->ifa_next) {
		struct endpoint at = { .size = 0 };
		struct in6_addr of_interface;

		if (!i->ifa_addr ||
		    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		memcpy(&at.at, i->ifa_addr,
		       i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) :
							   sizeof(struct sockaddr_in6));
		of_interface = as_ipv6(&at);
		own = begin_alike(&of_interface, address, IPV6_BITS);
	}
	freeifaddrs(all);
	return own;
}

static bool rule_permits(const struct reach_rule *rule, const struct endpoint *to)
{
	struct in6_addr of_rule = as_ipv6(&rule->at), address = as_ipv6(to);

	return begin_alike(&of_rule, &address, rule->bits) &&
	       (!port_of(&rule->at) || port_of(&rule->at) == port_of(to));
}

bool reach_permits(const struct reach *r, const struct endpoint *to, const struct endpoint *client)
{
	struct in6_addr address = as_ipv6(to), of_client;

	if (r->everywhere || is_loopback(&address) || is_own(&address))
		return true;
	for (size_t i = 0; i < r->count; i++)
		if (rule_permits(&r->rules[i], to))
			return true;
	if (!client)
		return false;
	of_client = as_ipv6(client);
	return begin_alike(&of_client, &address, IPV6_BITS);
}

/* --- the words of the operator ------------------------------------------------------------- */

static int add(struct reach *r, const struct endpoint *at, long bits, const char *word,
	       struct err *err)
{
	long most = at->at.ss_family == AF_INET6 ? IPV6_BITS : IPV6_BITS - MAPPED_BITS;

	if (r->count == REACH_RULES_MAX)
		return err_set(err, E2BIG, "--forward-to: more than %d addresses", REACH_RULES_MAX);
	if (bits > most)
		return err_set(err, EINVAL, "--forward-to: '%s': its addresses have %ld bits", word,
			       most);
	bits = bits < 0 ? most : bits;
	r->rules[r->count++] = (struct reach_rule){ *at, (unsigned)(bits + IPV6_BITS - most) };
	return 0;
}

/* Cuts /BITS out of the word: *ret_bits is -1 without. */
static int take_bits(char *word, long *ret_bits)
{
	char *slash = strchr(word, '/'), *end;

	*ret_bits = -1;
	if (!slash)
		return 0;
	*ret_bits = strtol(slash + 1, &end, 10);
	if (end == slash + 1 || slash[1] < '0' || slash[1] > '9' || (*end && *end != ':'))
		return -EINVAL;
	memmove(slash, end, strlen(end) + 1);
	return 0;
}

static int allow(struct reach *r, const char *word, size_t len, struct err *err)
{
	static const struct address_defaults any_port = { NULL, 0 };
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	char text[ADDRESS_TEXT_SIZE], whole[ADDRESS_TEXT_SIZE];
	struct address address;
	int count, rc = 0;
	struct err why;
	long bits;

	snprintf(whole, sizeof(whole), "%.*s", (int)len, word);
	strcpy(text, whole);
	r->everywhere |= !strcmp(whole, "any");
	if (!strcmp(whole, "any"))
		return 0;
	if (len >= sizeof(text) || take_bits(text, &bits) ||
	    address_parse(text, &any_port, &address, &why) || address.transport != TRANSPORT_TCP)
		return err_set(err, EINVAL, "--forward-to: '%s' is not HOST[/BITS][:PORT], nor any",
			       whole);
	count = address_resolve(&address, false, endpoints, &why);
	if (count < 0)
		return err_set(err, -count, "--forward-to: %s", why.text);
	for (int i = 0; i < count && !rc; i++)
		rc = add(r, &endpoints[i], bits, whole, err);
	return rc;
}

int reach_allow(struct reach *r, const char *words, struct err *err)
{
	int rc;

	do {
		size_t len = strcspn(words, ",");

		rc = allow(r, words, len, err);
		words += len;
	} while (!rc && *words++);
	return rc;
}
