/* SPDX-License-Identifier: Dual MIT/GPL */
/* Headers on the wire, as far as the program looks at them. */
#ifndef BYWAY_HEADERS_H
#define BYWAY_HEADERS_H

#include "kernel.h"

#define ETHERTYPE_IPV4 BE16(0x0800)
#define ETHERTYPE_IPV6 BE16(0x86dd)
#define ETHERTYPE_VLAN BE16(0x8100)
#define ETHERTYPE_QINQ BE16(0x88a8)

struct ethernet {
	u8 destination[6];
	u8 source[6];
	be16 type;
};

struct vlan {
	be16 tag;
	be16 type;
};

enum protocol {
	PROTO_HOP_BY_HOP = 0,
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_AUTHENTICATION = 51,
	PROTO_ICMPV6 = 58,
	PROTO_DESTINATION = 60,
};

#define IPV4_MORE_FRAGMENTS BE16(0x2000)
#define IPV4_OFFSET_MASK BE16(0x1fff)

struct ipv4 {
	u8 version_ihl;
	u8 tos;
	be16 total_length;
	be16 id;
	be16 fragment;
	u8 ttl;
	u8 protocol;
	be16 checksum;
	be32 source;
	be32 destination;
};

struct ipv6 {
	be32 version_class_flow;
	be16 payload_length;
	u8 next_header;
	u8 hop_limit;
	be32 source[4];
	be32 destination[4];
};

/* Hop-by-hop, routing, destination and authentication headers begin alike. */
struct extension {
	u8 next_header;
	u8 length;
	u8 routing_type;
	u8 segments_left;
};

#define IPV6_MORE_FRAGMENTS BE16(0x0001)
#define IPV6_OFFSET_MASK BE16(0xfff8)

struct fragment {
	u8 next_header;
	u8 reserved;
	be16 offset;
	be32 id;
};

#define TCP_HEADER 20

struct ports {
	be16 source;
	be16 destination;
};

struct icmp {
	u8 type;
	u8 code;
	be16 checksum;
	be32 rest;
};

#endif
