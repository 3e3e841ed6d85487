# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/net/libnet.a
lib_net_libnet_a_SOURCES = \
	lib/net/dns_client.c \
	lib/net/dns_client.h \
	lib/net/dns_rdata.c \
	lib/net/dns_rdata.h \
	lib/net/nexthop.c \
	lib/net/nexthop.h \
	lib/net/smtp_client.c \
	lib/net/smtp_client.h \
	lib/net/smtp_client_impl.h \
	lib/net/smtp_txn.c \
	lib/net/stream.c \
	lib/net/stream.h \
	lib/net/tls.h \
	lib/net/tls_bio.c \
	lib/net/tls_chain.c \
	lib/net/tls_client.c \
	lib/net/tls_conn.c \
	lib/net/tls_facts.c \
	lib/net/tls_hello.c \
	lib/net/tls_internal.h \
	lib/net/tls_keys.c \
	lib/net/tls_params.c \
	lib/net/tls_provider.c \
	lib/net/tls_server.c \
	lib/net/tls_session.c \
	lib/net/tls_trust.c \
	lib/net/tls_plan.c \
	lib/net/tls_plan.h \
	lib/net/tls_policy.c \
	lib/net/tls_policy.h
