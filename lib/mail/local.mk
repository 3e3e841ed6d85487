# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/mail/libmail.a
lib_mail_libmail_a_SOURCES =						\
	lib/mail/address.c lib/mail/address.h				\
	lib/mail/data_scanner.c lib/mail/data_scanner.h			\
	lib/mail/data_writer.c lib/mail/data_writer.h			\
	lib/mail/date.c lib/mail/date.h					\
	lib/mail/domain.c lib/mail/domain.h				\
	lib/mail/dsn.c lib/mail/dsn.h					\
	lib/mail/enhanced.c lib/mail/enhanced.h				\
	lib/mail/header.c lib/mail/header.h				\
	lib/mail/mime.c lib/mail/mime.h					\
	lib/mail/mime_encode.c lib/mail/mime_encode.h			\
	lib/mail/mime_field.c lib/mail/mime_field.h			\
	lib/mail/scan.h							\
	lib/mail/smtp_command.c lib/mail/smtp_command.h			\
	lib/mail/smtp_reply.c lib/mail/smtp_reply.h			\
	lib/mail/trace.c lib/mail/trace.h				\
	lib/mail/xtext.c lib/mail/xtext.h
