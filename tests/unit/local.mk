# SPDX-License-Identifier: ISC
# A test of lib/ is one line: its source is the name with .c behind it, it
# links LIBS_CORE and cmocka. A test of a process folder adds its library:
#	UNIT_TESTS += tests/unit/smtpd/foo_test
#	tests_unit_smtpd_foo_test_LDADD = smtpd/libsmtpd.a $(LDADD)
# tests/unit/unit.h has what tests share.
TLS_RIG = tests/unit/net/tls_rig.c tests/unit/net/tls_rig.h
UNIT_TESTS =
UNIT_TESTS += tests/unit/base/buf_test
UNIT_TESTS += tests/unit/base/clock_test
UNIT_TESTS += tests/unit/base/codec_test
UNIT_TESTS += tests/unit/base/heap_test
UNIT_TESTS += tests/unit/base/log_test
UNIT_TESTS += tests/unit/base/map_test
UNIT_TESTS += tests/unit/base/mem_test
UNIT_TESTS += tests/unit/base/num_test
UNIT_TESTS += tests/unit/base/view_test
UNIT_TESTS += tests/unit/ipc/admin_test
UNIT_TESTS += tests/unit/ipc/channel_test
UNIT_TESTS += tests/unit/ipc/child_log_test
UNIT_TESTS += tests/unit/ipc/child_test
UNIT_TESTS += tests/unit/ipc/codec_test
UNIT_TESTS += tests/unit/mail/address_test
UNIT_TESTS += tests/unit/mail/data_scanner_test
UNIT_TESTS += tests/unit/mail/data_writer_test
UNIT_TESTS += tests/unit/mail/date_test
UNIT_TESTS += tests/unit/mail/domain_test
UNIT_TESTS += tests/unit/mail/dsn_test
UNIT_TESTS += tests/unit/mail/enhanced_test
UNIT_TESTS += tests/unit/mail/header_test
UNIT_TESTS += tests/unit/mail/mime_test
UNIT_TESTS += tests/unit/mail/smtp_command_test
UNIT_TESTS += tests/unit/mail/smtp_reply_test
UNIT_TESTS += tests/unit/mail/xtext_test
UNIT_TESTS += tests/unit/sys/fd_test
UNIT_TESTS += tests/unit/sys/loop_test
UNIT_TESTS += tests/unit/sys/sandbox_test
UNIT_TESTS += tests/unit/sys/stats_test
UNIT_TESTS += tests/unit/qmgr/journal_test
tests_unit_qmgr_journal_test_LDADD = qmgr/libqmgr.a $(LDADD)
UNIT_TESTS += tests/unit/qmgr/message_test
tests_unit_qmgr_message_test_LDADD = qmgr/libqmgr.a $(LDADD)
UNIT_TESTS += tests/unit/qmgr/sched_test
tests_unit_qmgr_sched_test_LDADD = qmgr/libqmgr.a $(LDADD)
UNIT_TESTS += tests/unit/qmgr/store_test
tests_unit_qmgr_store_test_LDADD = qmgr/libqmgr.a $(LDADD)
UNIT_TESTS += tests/unit/qmgr/ticket_test
tests_unit_qmgr_ticket_test_LDADD = qmgr/libqmgr.a $(LDADD)
UNIT_TESTS += tests/unit/queue/bounce_test
UNIT_TESTS += tests/unit/store/maildir_test
UNIT_TESTS += tests/unit/net/smtp_client_test
UNIT_TESTS += tests/unit/net/smtp_client_tls_test
UNIT_TESTS += tests/unit/net/tls_plan_test
UNIT_TESTS += tests/unit/net/tls_policy_test
UNIT_TESTS += tests/unit/net/stream_test
UNIT_TESTS += tests/unit/net/tls_handshake_test
tests_unit_net_tls_handshake_test_SOURCES = tests/unit/net/tls_handshake_test.c $(TLS_RIG)
UNIT_TESTS += tests/unit/net/tls_key_test
tests_unit_net_tls_key_test_SOURCES = tests/unit/net/tls_key_test.c $(TLS_RIG)
UNIT_TESTS += tests/unit/net/tls_trust_test
tests_unit_net_tls_trust_test_SOURCES = tests/unit/net/tls_trust_test.c $(TLS_RIG)
UNIT_TESTS += tests/unit/net/tls_params_test
tests_unit_net_tls_params_test_SOURCES = tests/unit/net/tls_params_test.c $(TLS_RIG)
UNIT_TESTS += tests/unit/net/tls_fibre_test
tests_unit_net_tls_fibre_test_SOURCES = tests/unit/net/tls_fibre_test.c $(TLS_RIG)
UNIT_TESTS += tests/unit/net/tls_conn_test
tests_unit_net_tls_conn_test_SOURCES = tests/unit/net/tls_conn_test.c $(TLS_RIG)
UNIT_TESTS += tests/unit/queue/segment_writer_test
UNIT_TESTS += tests/unit/table/match_list_test
UNIT_TESTS += tests/unit/table/table_test
UNIT_TESTS += tests/unit/lookupd/outside_test
tests_unit_lookupd_outside_test_LDADD = lookupd/liblookupd.a $(LDADD)
UNIT_TESTS += tests/unit/lookupd/resolver_test
tests_unit_lookupd_resolver_test_LDADD = lookupd/liblookupd.a $(LDADD)
UNIT_TESTS += tests/unit/conf/conf_test
UNIT_TESTS += tests/unit/conf/params_test

UNIT_TESTS += tests/unit/adminctl/commands_test
tests_unit_adminctl_commands_test_LDADD = adminctl/libadminctl.a $(LDADD)
UNIT_TESTS += tests/unit/queue/record_test
UNIT_TESTS += tests/unit/logd/file_test
tests_unit_logd_file_test_LDADD = logd/liblogd.a $(LDADD)
UNIT_TESTS += tests/unit/logd/format_test
tests_unit_logd_format_test_LDADD = logd/liblogd.a $(LDADD)
UNIT_TESTS += tests/unit/master/roles_test
tests_unit_master_roles_test_LDADD = master/libmaster.a $(LDADD)
UNIT_TESTS += tests/unit/master/state_test
tests_unit_master_state_test_LDADD = master/libmaster.a $(LDADD)
UNIT_TESTS += tests/unit/dnsd/answer_test
tests_unit_dnsd_answer_test_LDADD = dnsd/libdnsd.a $(LDADD)
UNIT_TESTS += tests/unit/dnsd/upstream_test
tests_unit_dnsd_upstream_test_LDADD = dnsd/libdnsd.a $(LDADD)
UNIT_TESTS += tests/unit/smtpd/session_test
tests_unit_smtpd_session_test_SOURCES = tests/unit/smtpd/session_test.c $(SMTPD_HARNESS)
tests_unit_smtpd_session_test_LDADD = smtpd/libsmtpd.a $(LDADD)
UNIT_TESTS += tests/unit/smtpd/relay_test
tests_unit_smtpd_relay_test_SOURCES = tests/unit/smtpd/relay_test.c $(SMTPD_HARNESS)
tests_unit_smtpd_relay_test_LDADD = smtpd/libsmtpd.a $(LDADD)
UNIT_TESTS += tests/unit/smtpd/restrictions_test
tests_unit_smtpd_restrictions_test_SOURCES = tests/unit/smtpd/restrictions_test.c $(SMTPD_HARNESS)
tests_unit_smtpd_restrictions_test_LDADD = smtpd/libsmtpd.a $(LDADD)
UNIT_TESTS += tests/unit/smtpd/auth_test
tests_unit_smtpd_auth_test_SOURCES = tests/unit/smtpd/auth_test.c $(SMTPD_HARNESS)
tests_unit_smtpd_auth_test_LDADD = smtpd/libsmtpd.a $(LDADD)
UNIT_TESTS += tests/unit/smtpd/submission_test
tests_unit_smtpd_submission_test_SOURCES = tests/unit/smtpd/submission_test.c $(SMTPD_HARNESS)
tests_unit_smtpd_submission_test_LDADD = smtpd/libsmtpd.a $(LDADD)
UNIT_TESTS += tests/unit/smtpd/auth_link_test
tests_unit_smtpd_auth_link_test_LDADD = smtpd/libsmtpd.a $(LDADD)
UNIT_TESTS += tests/unit/smtpd/walk_test
tests_unit_smtpd_walk_test_SOURCES = tests/unit/smtpd/walk_test.c $(SMTPD_HARNESS)
tests_unit_smtpd_walk_test_LDADD = smtpd/libsmtpd.a $(LDADD)
UNIT_TESTS += tests/unit/sys/client_limits_test
UNIT_TESTS += tests/unit/sys/fail_limits_test
SMTPD_HARNESS = tests/unit/smtpd/harness.c tests/unit/smtpd/harness.h

UNIT_TESTS += tests/unit/deliver/smtp_test
tests_unit_deliver_smtp_test_SOURCES = tests/unit/deliver/smtp_test.c	\
	tests/unit/deliver/rig.c tests/unit/deliver/rig.h
tests_unit_deliver_smtp_test_LDADD = deliver/libdeliver.a $(LDADD)

UNIT_TESTS += tests/unit/deliver/smtp_tour_test
tests_unit_deliver_smtp_tour_test_SOURCES =				\
	tests/unit/deliver/smtp_tour_test.c				\
	tests/unit/deliver/rig.c tests/unit/deliver/rig.h
tests_unit_deliver_smtp_tour_test_LDADD = deliver/libdeliver.a $(LDADD)

UNIT_TESTS += tests/unit/deliver/mailbox_test
tests_unit_deliver_mailbox_test_SOURCES = tests/unit/deliver/mailbox_test.c \
	tests/unit/deliver/rig.c tests/unit/deliver/rig.h
tests_unit_deliver_mailbox_test_LDADD = deliver/libdeliver.a $(LDADD)
UNIT_TESTS += tests/unit/deliver/bounce_test
tests_unit_deliver_bounce_test_SOURCES = tests/unit/deliver/bounce_test.c \
	tests/unit/deliver/rig.c tests/unit/deliver/rig.h
tests_unit_deliver_bounce_test_LDADD = deliver/libdeliver.a $(LDADD)
UNIT_TESTS += tests/unit/authd/sasl_test
tests_unit_authd_sasl_test_SOURCES = tests/unit/authd/sasl_test.c	\
	tests/unit/authd/fake_verify.c tests/unit/authd/fake_verify.h
tests_unit_authd_sasl_test_LDADD = authd/libauthd.a $(LDADD) $(OAUTH_LIBS)
CERTD_CERTS = tests/unit/certd/certs.c tests/unit/certd/certs.h
UNIT_TESTS += tests/unit/certd/pem_test
tests_unit_certd_pem_test_SOURCES = tests/unit/certd/pem_test.c $(CERTD_CERTS)
tests_unit_certd_pem_test_LDADD = certd/libcertd.a $(LDADD)
UNIT_TESTS += tests/unit/certd/pair_test
tests_unit_certd_pair_test_SOURCES = tests/unit/certd/pair_test.c $(CERTD_CERTS)
tests_unit_certd_pair_test_LDADD = certd/libcertd.a $(LDADD)
UNIT_TESTS += tests/unit/certd/sign_test
tests_unit_certd_sign_test_SOURCES = tests/unit/certd/sign_test.c $(CERTD_CERTS)
tests_unit_certd_sign_test_LDADD = certd/libcertd.a $(LDADD)
UNIT_TESTS += tests/unit/certd/set_test
tests_unit_certd_set_test_SOURCES = tests/unit/certd/set_test.c $(CERTD_CERTS)
tests_unit_certd_set_test_LDADD = certd/libcertd.a $(LDADD)
UNIT_TESTS += tests/unit/certd/tickets_test
tests_unit_certd_tickets_test_SOURCES = tests/unit/certd/tickets_test.c $(CERTD_CERTS)
tests_unit_certd_tickets_test_LDADD = certd/libcertd.a $(LDADD)
UNIT_TESTS += tests/unit/certd/expiry_test
tests_unit_certd_expiry_test_SOURCES = tests/unit/certd/expiry_test.c $(CERTD_CERTS)
tests_unit_certd_expiry_test_LDADD = certd/libcertd.a $(LDADD)
UNIT_TESTS += tests/unit/certd/ipc_test
tests_unit_certd_ipc_test_SOURCES = tests/unit/certd/ipc_test.c $(CERTD_CERTS)
tests_unit_certd_ipc_test_LDADD = certd/libcertd.a $(LDADD)
if HAVE_OAUTH
UNIT_TESTS += tests/unit/authd/oauth_test
tests_unit_authd_oauth_test_SOURCES = tests/unit/authd/oauth_test.c	\
	tests/unit/authd/token.c tests/unit/authd/token.h		\
	tests/unit/authd/fake_verify.c tests/unit/authd/fake_verify.h
tests_unit_authd_oauth_test_LDADD = authd/libauthd.a $(LDADD) $(OAUTH_LIBS)
endif
UNIT_TESTS += tests/unit/authd/authd_ipc_test
tests_unit_authd_authd_ipc_test_SOURCES = tests/unit/authd/authd_ipc_test.c	\
	tests/unit/authd/fake_verify.c tests/unit/authd/fake_verify.h
tests_unit_authd_authd_ipc_test_LDADD = authd/libauthd.a $(LDADD) $(SOURCE_LIBS) $(OAUTH_LIBS)
UNIT_TESTS += tests/unit/authd/source_query_test
tests_unit_authd_source_query_test_LDADD = authd/libauthd.a $(LDADD)
UNIT_TESTS += tests/unit/authd/password_test
tests_unit_authd_password_test_LDADD = authd/libauthd.a $(LDADD)
UNIT_TESTS += tests/unit/authd/accounts_test
tests_unit_authd_accounts_test_LDADD = authd/libauthd.a $(LDADD) $(SOURCE_LIBS) $(OAUTH_LIBS)
UNIT_TESTS += tests/unit/authd/verify_test
tests_unit_authd_verify_test_LDADD = authd/libauthd.a $(LDADD) $(SOURCE_LIBS) $(OAUTH_LIBS)
UNIT_TESTS += tests/unit/net/dns_client_test
UNIT_TESTS += tests/unit/net/dns_rdata_test

if HAVE_CMOCKA
check_LIBRARIES += tests/unit/libunit.a
tests_unit_libunit_a_SOURCES = tests/unit/unit.c tests/unit/unit.h
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif

# For scripts/test, which runs them under valgrind too.
list-unit-tests:
	@echo $(UNIT_TESTS)
.PHONY: list-unit-tests
