/* SPDX-License-Identifier: Dual MIT/GPL */
/* What user space and the program agree on: keep in step with engine/xdp/src/program.rs. */
#ifndef BYWAY_STEER_H
#define BYWAY_STEER_H

#include "kernel.h"

/* Every frame gets one of these, and is counted under it. */
enum verdict {
	PASS_NOT_IP,
	PASS_NOT_TCP,
	PASS_NOT_OURS,
	PASS_ICMP,
	PASS_FRAGMENT,
	PASS_EXTENSION,
	PASS_TRUNCATED,
	PASS_MALFORMED,
	REDIRECT_TCP,
	REDIRECT_ICMP,
	REDIRECT_FRAGMENT,
	DROP_NO_SOCKET,
	VERDICTS,
};

/* An IPv6 address, or an IPv4 address in its v4-mapped form, in network order. */
struct address {
	be32 word[4];
};

struct endpoint {
	struct address address;
	be16 port;
	u16 zero;
};

/* In host order; first > last is the empty range. */
struct rules {
	u32 ephemeral_first;
	u32 ephemeral_last;
};

/* What the fragments of one datagram have in common. */
struct datagram {
	struct address source;
	struct address destination;
	u32 id;
	/* IPv4 only (RFC 791); zero for IPv6, where it may differ between fragments (RFC 8200 4.5). */
	u32 protocol;
};

#endif
