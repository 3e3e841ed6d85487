# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/net/libnet.a
lib_net_libnet_a_SOURCES = \
	lib/net/dns_client.c \
	lib/net/dns_client.h \
	lib/net/dns_rdata.c \
	lib/net/dns_rdata.h
