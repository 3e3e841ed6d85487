# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += authd/libauthd.a
authd_libauthd_a_SOURCES = \
	authd/accounts.c \
	authd/accounts.h \
	authd/accounts_record.c \
	authd/admin.c \
	authd/admin.h \
	authd/admin_change.c \
	authd/admin_list.c \
	authd/authd.h \
	authd/authd_ipc.c \
	authd/cache.c \
	authd/cache.h \
	authd/limits.c \
	authd/limits.h \
	authd/name.c \
	authd/name.h \
	authd/password.c \
	authd/password.h \
	authd/password_crypt.c \
	authd/password_digest.c \
	authd/password_impl.h \
	authd/source.c \
	authd/source.h \
	authd/source_accounts.c \
	authd/source_accounts.h \
	authd/source_impl.h \
	authd/passwd_line.h \
	authd/source_passwd_file.c \
	authd/source_system.c \
	authd/ticket.c \
	authd/ticket.h \
	authd/upgrade.c \
	authd/verify.c \
	authd/verify.h \
	authd/work.c \
	authd/work.h \
	authd/sasl.c \
	authd/sasl.h \
	authd/sasl_bearer.h \
	authd/sasl_bearer_parse.c \
	authd/sasl_gsasl.c \
	authd/sasl_password.c \
	authd/sasl_prep.c \
	authd/sasl_prep.h \
	authd/sasl_private.h \
	authd/sasl_proof.c \
	authd/sasl_scram.c \
	authd/sasl_scram.h \
	authd/sasl_scram_parse.c
# Tokens need libcurl.
if HAVE_OAUTH
authd_libauthd_a_SOURCES += \
	authd/oauth.c \
	authd/oauth.h \
	authd/oauth_http.c \
	authd/oauth_http.h \
	authd/oauth_introspect.c \
	authd/oauth_json.c \
	authd/oauth_json.h \
	authd/oauth_jwks.c \
	authd/oauth_jwks.h \
	authd/oauth_jwt.c \
	authd/oauth_jwt.h \
	authd/oauth_keys.c \
	authd/oauth_private.h \
	authd/sasl_bearer.c
endif
authd_libauthd_a_SOURCES += \
	authd/source_file.c \
	authd/source_file.h \
	authd/source_pool.c \
	authd/source_pool.h \
	authd/source_query.c \
	authd/source_row.c \
	authd/source_row.h \
	authd/source_sql.c \
	authd/source_sql.h
if HAVE_SOURCE_PGSQL
authd_libauthd_a_SOURCES += authd/source_pgsql.c
endif
if HAVE_SOURCE_MYSQL
authd_libauthd_a_SOURCES += authd/source_mysql.c
endif
if HAVE_SOURCE_SQLITE
authd_libauthd_a_SOURCES += authd/source_sqlite.c
endif
if HAVE_SOURCE_LDAP
authd_libauthd_a_SOURCES += authd/source_ldap.c
endif
if HAVE_SOURCE_REDIS
authd_libauthd_a_SOURCES += authd/limits_redis.c authd/limits_redis.h
endif
authd_libauthd_a_CPPFLAGS = $(AM_CPPFLAGS) $(SOURCE_CFLAGS)
pkglibexec_PROGRAMS += authd/authd
authd_authd_SOURCES = authd/main.c
authd_authd_LDADD = authd/libauthd.a $(LIBS_CORE) $(OAUTH_LIBS)
