/* SPDX-License-Identifier: ISC */
/*
 * commands.c: what adminctl can do, one row each.
 */
#include "adminctl/command.h"
#include "base/mem.h"

#define END_ARGS	{ NULL, ARG_REQUIRED, NULL }
#define END_COLUMNS	{ NULL, NULL, COL_TEXT }

/* ---- arguments ---- */

static const struct command_arg list_args[] = {
	{ "selector", ARG_SELECTOR_OPTIONAL, "all (default), a queue id, or sender=, recipient=, domain=, transport=, state= and a value" },
	{ "state", ARG_VALUE, "incoming, active, deferred, hold or failed only" },
	{ "domain", ARG_VALUE, "with a recipient in this domain only" },
	{ "sender", ARG_VALUE, "from this address only" },
	{ "recipient", ARG_VALUE, "to this address only" },
	{ "transport", ARG_VALUE, "by this transport only" },
	{ "limit", ARG_NUMBER, "at most so many" },
	END_ARGS
};
static const struct command_arg id_args[] = {
	{ "id", ARG_REQUIRED, "queue id" },
	{ "header", ARG_FLAG, "with the message's header" },
	{ "content", ARG_FLAG, "with the whole message" },
	END_ARGS
};
static const struct command_arg selector_args[] = {
	{ "selector", ARG_SELECTOR, "a queue id, all, or sender=, recipient=, domain=, transport=, state= and a value" },
	END_ARGS
};
static const struct command_arg priority_args[] = {
	{ "selector", ARG_SELECTOR, "as for queue hold" },
	{ "priority", ARG_INTEGER, "0 (last) to 4 (first); 2 is usual" },
	END_ARGS
};
static const struct command_arg domain_optional_args[] = {
	{ "domain", ARG_OPTIONAL, "this domain only" },
	END_ARGS
};
static const struct command_arg domain_args[] = {
	{ "domain", ARG_REQUIRED, "domain name" },
	END_ARGS
};
static const struct command_arg freeze_args[] = {
	{ "scope", ARG_REQUIRED, "all, domain or transport" },
	{ "name", ARG_OPTIONAL, "which domain or transport" },
	END_ARGS
};
static const struct command_arg trace_args[] = {
	{ "what", ARG_REQUIRED, "a queue id, an address or a Message-ID" },
	END_ARGS
};
static const struct command_arg dns_lookup_args[] = {
	{ "name", ARG_REQUIRED, "domain name" },
	{ "type", ARG_OPTIONAL, "A, AAAA, MX, TXT, PTR, TLSA ... (default A)" },
	END_ARGS
};
static const struct command_arg dns_prefix_args[] = {
	{ "prefix", ARG_OPTIONAL, "names that begin so" },
	END_ARGS
};
static const struct command_arg override_set_args[] = {
	{ "name", ARG_REQUIRED, "domain name" },
	{ "type", ARG_REQUIRED, "record type" },
	{ "data", ARG_REST, "the answer, as in a zone file" },
	END_ARGS
};
static const struct command_arg override_remove_args[] = {
	{ "name", ARG_REQUIRED, "domain name" },
	{ "type", ARG_OPTIONAL, "record type (default: every type)" },
	END_ARGS
};
static const struct command_arg table_build_args[] = {
	{ "file", ARG_REQUIRED, "text source; file.lmdb is made beside it" },
	END_ARGS
};
static const struct command_arg table_get_args[] = {
	{ "table", ARG_REQUIRED, "type:name" },
	{ "query", ARG_REQUIRED, "what to look up" },
	END_ARGS
};
static const struct command_arg address_args[] = {
	{ "address", ARG_REQUIRED, "user@domain" },
	END_ARGS
};
static const struct command_arg config_show_args[] = {
	{ "name", ARG_OPTIONAL, "one parameter (default: those that the file sets)" },
	{ "all", ARG_FLAG, "with the defaults" },
	{ "expanded", ARG_FLAG, "with $name replaced" },
	END_ARGS
};
static const struct command_arg config_set_args[] = {
	{ "assignment", ARG_REST, "name = value; an empty value removes the line" },
	END_ARGS
};
static const struct command_arg config_diff_args[] = {
	{ "file", ARG_OPTIONAL, "another main.cf (default: what the suite runs with)" },
	END_ARGS
};
static const struct command_arg certificate_args[] = {
	{ "name", ARG_REQUIRED, "a server name, default, client, a serial number or a fingerprint" },
	END_ARGS
};
static const struct command_arg tls_probe_args[] = {
	{ "target", ARG_REQUIRED, "a domain (its MX hosts are asked), host, host:port, [host] or [host]:port" },
	{ "transport", ARG_VALUE, "with the parameters of this transport (default smtp)" },
	END_ARGS
};
static const struct command_arg level_args[] = {
	{ "level", ARG_REQUIRED, "debug, info, warn or error" },
	END_ARGS
};
static const struct command_arg help_args[] = {
	{ "command", ARG_REST, "which one" },
	END_ARGS
};
static const struct command_arg shell_args[] = {
	{ "shell", ARG_REQUIRED, "bash, zsh or fish" },
	END_ARGS
};
static const struct command_arg domain_new_args[] = {
	{ "domain", ARG_REQUIRED, "domain name" },
	{ "quota", ARG_VALUE, "of users without one of their own: 500m, 2g; empty: none" },
	{ "description", ARG_VALUE, "one line" },
	END_ARGS
};
static const struct command_arg domain_delete_args[] = {
	{ "domain", ARG_REQUIRED, "domain name" },
	{ "force", ARG_FLAG, "with its users and aliases" },
	END_ARGS
};
static const struct command_arg user_args[] = {
	{ "user", ARG_REQUIRED, "user@domain" },
	END_ARGS
};
static const struct command_arg user_add_args[] = {
	{ "user", ARG_REQUIRED, "user@domain" },
	{ "quota", ARG_VALUE, "500m, 2g" },
	{ "mailbox", ARG_VALUE, "path below virtual_mailbox_base (default: domain/user)" },
	{ "services", ARG_VALUE, "smtp, imap, api (default: all)" },
	{ "senders", ARG_VALUE, "further addresses or @domains it may send as" },
	{ "description", ARG_VALUE, "one line" },
	{ "no-password", ARG_FLAG, "nobody logs in until there is one" },
	END_ARGS
};
static const struct command_arg user_set_args[] = {
	{ "user", ARG_REQUIRED, "user@domain" },
	{ "quota", ARG_VALUE, "500m, 2g; an empty value removes it, here and below" },
	{ "mailbox", ARG_VALUE, "path below virtual_mailbox_base" },
	{ "services", ARG_VALUE, "smtp, imap, api" },
	{ "senders", ARG_VALUE, "further addresses or @domains it may send as" },
	{ "description", ARG_VALUE, "one line" },
	{ "disable", ARG_FLAG, "may not log in" },
	{ "enable", ARG_FLAG, "may again" },
	END_ARGS
};
static const struct command_arg alias_add_args[] = {
	{ "address", ARG_REQUIRED, "alias@domain, or @domain for all that are nothing else" },
	{ "targets", ARG_REST, "addresses" },
	{ "description", ARG_VALUE, "one line" },
	END_ARGS
};
static const struct command_arg alias_args[] = {
	{ "address", ARG_REQUIRED, "alias@domain or @domain" },
	END_ARGS
};
static const struct command_arg app_add_args[] = {
	{ "user", ARG_REQUIRED, "user@domain" },
	{ "name", ARG_REQUIRED, "what it is for: phone" },
	{ "services", ARG_VALUE, "smtp, imap, api (default: all)" },
	END_ARGS
};
static const struct command_arg app_delete_args[] = {
	{ "user", ARG_REQUIRED, "user@domain" },
	{ "name", ARG_REQUIRED, "as app-password list shows it" },
	END_ARGS
};
static const struct command_arg import_args[] = {
	{ "file", ARG_OPTIONAL, "what account export wrote (default: standard input)" },
	END_ARGS
};
static const struct command_arg auth_test_args[] = {
	{ "user", ARG_REQUIRED, "as a client would write it" },
	{ "service", ARG_VALUE, "smtp (default), imap or api" },
	END_ARGS
};
static const struct command_arg failures_args[] = {
	{ "name", ARG_OPTIONAL, "an address, a network, a user or a pair (default: all)" },
	END_ARGS
};
static const struct command_arg watch_args[] = {
	{ "watch", ARG_FLAG, "again every second, until interrupted" },
	END_ARGS
};

/* ---- columns ---- */

static const struct column queue_columns[] = {
	{ "id", "ID", COL_TEXT },
	{ "state", "STATE", COL_TEXT },
	{ "arrival_ms", "ARRIVED", COL_TIME },
	{ "size", "SIZE", COL_SIZE },
	{ "priority", "PRIO", COL_NUMBER },
	{ "recipients_open", "RCPTS", COL_NUMBER },
	{ "next_ms", "NEXT TRY", COL_TIME },
	{ "sender", "SENDER", COL_TEXT },
	{ "recipients.0.address", "RECIPIENT", COL_TEXT },
	{ "recipients.0.reply", "LAST ANSWER", COL_TEXT },
	END_COLUMNS
};
static const struct column process_columns[] = {
	{ "role", "ROLE", COL_TEXT },
	{ "instance", "INSTANCE", COL_NUMBER },
	{ "pid", "PID", COL_NUMBER },
	{ "user", "USER", COL_TEXT },
	{ "state", "STATE", COL_TEXT },
	{ "uptime_ms", "UP", COL_SPAN },
	{ "restarts", "RESTARTS", COL_NUMBER },
	END_COLUMNS
};
static const struct column confinement_columns[] = {
	{ "role", "ROLE", COL_TEXT },
	{ "pid", "PID", COL_NUMBER },
	{ "user", "USER", COL_TEXT },
	{ "root", "ROOT", COL_TEXT },
	{ "caps", "CAPABILITIES", COL_TEXT },
	{ "no_new_privs", "NNP", COL_BOOL },
	{ "seccomp", "SECCOMP", COL_BOOL },
	{ "landlock", "LANDLOCK", COL_BOOL },
	END_COLUMNS
};
static const struct column ping_columns[] = {
	{ "role", "ROLE", COL_TEXT },
	{ "pid", "PID", COL_NUMBER },
	{ "answered", "ANSWERED", COL_BOOL },
	{ "us", "AFTER", COL_MICRO },
	END_COLUMNS
};
static const struct column dns_cache_columns[] = {
	{ "name", "NAME", COL_TEXT },
	{ "type", "TYPE", COL_TEXT },
	{ "ttl", "TTL", COL_NUMBER },
	{ "rcode", "RCODE", COL_TEXT },
	{ "security", "DNSSEC", COL_TEXT },
	{ "records", "RECORDS", COL_LIST },
	END_COLUMNS
};
static const struct column table_columns[] = {
	{ "table", "TABLE", COL_TEXT },
	{ "entries", "ENTRIES", COL_NUMBER },
	{ "lookups", "LOOK-UPS", COL_NUMBER },
	{ "error", "ERROR", COL_TEXT },
	END_COLUMNS
};
static const struct column certificate_columns[] = {
	{ "use", "USE", COL_TEXT },
	{ "names", "NAMES", COL_LIST },
	{ "kind", "KEY", COL_TEXT },
	{ "subject", "SUBJECT", COL_TEXT },
	{ "issuer", "ISSUER", COL_TEXT },
	{ "serial", "SERIAL", COL_TEXT },
	{ "not_after_ms", "NOT AFTER", COL_TIME },
	{ "days_left", "DAYS", COL_NUMBER },
	{ "file", "FILE", COL_TEXT },
	{ "in_use_by", "IN USE BY", COL_LIST },
	END_COLUMNS
};
static const struct column override_columns[] = {
	{ "name", "NAME", COL_TEXT },
	{ "type", "TYPE", COL_TEXT },
	{ "data", "DATA", COL_TEXT },
	{ "origin", "FROM", COL_TEXT },
	END_COLUMNS
};

static const struct column failures_columns[] = {
	{ "kind", "KIND", COL_TEXT },
	{ "name", "NAME", COL_TEXT },
	{ "count", "FAILURES", COL_NUMBER },
	{ "age_ms", "LAST", COL_SPAN },
	END_COLUMNS
};

#define ASK(role, verb)		IPC_ROLE_##role, verb
#define HERE			IPC_ROLE_none, NULL

const struct command commands[] = {
	{ "queue list", ASK(qmgr, "queue list"), list_args, "messages", queue_columns, NULL, NULL,
	    "Lists the messages in the queue" },
	{ "queue view", HERE, id_args, NULL, NULL, NULL, run_queue_view,
	    "Shows one message: envelope, each recipient's state, last reply, next attempt" },
	{ "queue stats", HERE, watch_args, NULL, NULL, NULL, run_queue_stats,
	    "Counts the queue by state" },
	{ "queue retry", ASK(qmgr, "queue retry"), selector_args, NULL, NULL, NULL, NULL,
	    "Tries deferred recipients now" },
	{ "queue delete", ASK(qmgr, "queue delete"), selector_args, NULL, NULL,
	    "This removes mail for good, and its sender is not told.", NULL,
	    "Removes messages without a report to the sender" },
	{ "queue hold", ASK(qmgr, "queue hold"), selector_args, NULL, NULL, NULL, NULL,
	    "Puts messages on hold: nothing moves them but release" },
	{ "queue release", ASK(qmgr, "queue release"), selector_args, NULL, NULL, NULL, NULL,
	    "Takes messages off hold" },
	{ "queue requeue", ASK(qmgr, "queue requeue"), selector_args, NULL, NULL, NULL, NULL,
	    "Expands and routes again, as if the messages had just come in" },
	{ "queue expire", ASK(qmgr, "queue expire"), selector_args, NULL, NULL,
	    "This returns mail to its senders as undeliverable.", NULL,
	    "Ends the life of messages now: they are returned to their senders" },
	{ "queue priority", ASK(qmgr, "queue priority"), priority_args, NULL, NULL, NULL, NULL,
	    "Changes the priority of messages" },
	{ "queue flush", ASK(qmgr, "queue flush"), domain_optional_args, NULL, NULL, NULL, NULL,
	    "Tries everything deferred now, also for hosts that were found dead" },
	{ "queue freeze", ASK(qmgr, "queue freeze"), freeze_args, NULL, NULL, NULL, NULL,
	    "Stops deliveries: of everything, to a domain or by a transport" },
	{ "queue thaw", ASK(qmgr, "queue thaw"), freeze_args, NULL, NULL, NULL, NULL,
	    "Ends a freeze" },
	{ "queue why", ASK(qmgr, "queue why"), domain_args, NULL, NULL, NULL, NULL,
	    "Says why mail for a domain is where it is" },
	{ "queue rebuild", ASK(qmgr, "queue rebuild"), NULL, NULL, NULL,
	    "This makes the index anew from segments and journal; deliveries pause meanwhile.",
	    NULL, "Makes the index anew; nothing is sent twice" },
	{ "queue check", ASK(qmgr, "queue check"), NULL, NULL, NULL, NULL, NULL,
	    "Holds segments, journal and index against each other; changes nothing" },
	{ "trace", HERE, trace_args, NULL, NULL, NULL, run_trace,
	    "Says what happened to a message, from the log and the queue" },
	{ "dns lookup", ASK(dnsd, "dns lookup"), dns_lookup_args, NULL, NULL, NULL, NULL,
	    "Asks as the suite does: cache, overrides, resolvers" },
	{ "dns cache list", ASK(dnsd, "dns cache list"), dns_prefix_args, "entries",
	    dns_cache_columns, NULL, NULL, "Lists the answers in the cache" },
	{ "dns cache clear", ASK(dnsd, "dns cache clear"), domain_optional_args, NULL, NULL, NULL,
	    NULL, "Forgets cached answers" },
	{ "dns cache refresh", ASK(dnsd, "dns cache refresh"), domain_args, NULL, NULL, NULL, NULL,
	    "Forgets what is cached for a domain and asks again" },
	{ "dns override list", ASK(dnsd, "dns override list"), NULL, "overrides", override_columns,
	    NULL, NULL, "Lists the fixed answers" },
	{ "dns override set", ASK(dnsd, "dns override set"), override_set_args, NULL, NULL, NULL,
	    NULL, "Sets a fixed answer until dnsd restarts; dns_overrides keeps it for good" },
	{ "dns override remove", ASK(dnsd, "dns override remove"), override_remove_args, NULL, NULL,
	    NULL, NULL, "Removes a fixed answer" },
	{ "dns stats", ASK(dnsd, "dns stats"), NULL, NULL, NULL, NULL, NULL,
	    "Counts questions, hits and cached answers" },
	{ "table build", HERE, table_build_args, NULL, NULL, NULL, run_table_build,
	    "Makes an lmdb table from its text source, replaced in one step" },
	{ "table get", ASK(lookupd, "table get"), table_get_args, NULL, NULL, NULL, NULL,
	    "Looks a key up as the suite does" },
	{ "lookup status", ASK(lookupd, "lookup status"), NULL, "tables", table_columns, NULL, NULL,
	    "Lists the tables that the configuration names" },
	{ "lookup address", ASK(lookupd, "lookup address"), address_args, NULL, NULL, NULL, NULL,
	    "Says what an address is here, and where mail for it goes" },
	{ "tls probe", HERE, tls_probe_args, NULL, NULL, NULL, run_tls_probe,
	    "Shows what a server offers, and how mail would be sent to it" },
	{ "tls certificates", ASK(certd, "tls certificates"), NULL, "certificates",
	    certificate_columns, NULL, NULL, "Lists the certificates in use" },
	{ "tls certificate show", ASK(certd, "tls certificate show"), certificate_args, NULL, NULL,
	    NULL, NULL, "Shows a certificate with its chain and the names in it" },
	{ "tls reload", ASK(certd, "tls reload"), NULL, NULL, NULL, NULL, NULL,
	    "Reads keys and certificates now; bad ones are named and the old ones stay" },
	{ "tls ticket-keys rotate", ASK(certd, "tls ticket-keys rotate"), NULL, NULL, NULL, NULL,
	    NULL, "Makes a new session ticket secret; the ones before still open tickets" },
	{ "domain add", ASK(authd, "domain add"), domain_new_args, NULL, NULL, NULL, NULL,
	    "Adds a domain to the accounts" },
	{ "domain list", HERE, NULL, NULL, NULL, NULL, run_domain_list,
	    "Lists the domains, with the number of users and aliases" },
	{ "domain show", ASK(authd, "domain show"), domain_args, NULL, NULL, NULL, NULL,
	    "Shows one domain" },
	{ "domain set", ASK(authd, "domain set"), domain_new_args, NULL, NULL, NULL, NULL,
	    "Changes a domain" },
	{ "domain delete", ASK(authd, "domain delete"), domain_delete_args, NULL, NULL,
	    "This removes the domain; mail in its mailboxes stays on disk.", NULL,
	    "Removes a domain; with users or aliases only if forced" },
	{ "user add", HERE, user_add_args, NULL, NULL, NULL, run_user_add,
	    "Adds a user; the password is asked for, or read from standard input" },
	{ "user list", HERE, domain_optional_args, NULL, NULL, NULL, run_user_list,
	    "Lists the users, of a domain or all" },
	{ "user show", ASK(authd, "user show"), user_args, NULL, NULL, NULL, NULL,
	    "Shows one user, without hashes" },
	{ "user set", ASK(authd, "user set"), user_set_args, NULL, NULL, NULL, NULL,
	    "Changes a user" },
	{ "user delete", ASK(authd, "user delete"), user_args, NULL, NULL,
	    "This removes the user; mail in the mailbox stays on disk.", NULL, "Removes a user" },
	{ "user password", HERE, user_args, NULL, NULL, NULL, run_user_password,
	    "Sets a user's password, which is asked for, or read from standard input" },
	{ "alias add", ASK(authd, "alias add"), alias_add_args, NULL, NULL, NULL, NULL,
	    "Adds an address whose mail goes to others" },
	{ "alias list", HERE, domain_optional_args, NULL, NULL, NULL, run_alias_list,
	    "Lists the aliases, of a domain or all" },
	{ "alias show", ASK(authd, "alias show"), alias_args, NULL, NULL, NULL, NULL,
	    "Shows one alias" },
	{ "alias set", ASK(authd, "alias set"), alias_add_args, NULL, NULL, NULL, NULL,
	    "Changes where an alias goes" },
	{ "alias delete", ASK(authd, "alias delete"), alias_args, NULL, NULL, NULL, NULL,
	    "Removes an alias" },
	{ "app-password add", ASK(authd, "app-password add"), app_add_args, NULL, NULL, NULL, NULL,
	    "Makes a password for one program of a user, and prints it this once" },
	{ "app-password list", HERE, user_args, NULL, NULL, NULL, run_app_password_list,
	    "Lists a user's app passwords by name" },
	{ "app-password delete", ASK(authd, "app-password delete"), app_delete_args, NULL, NULL,
	    NULL, NULL, "Removes an app password" },
	{ "account export", HERE, NULL, NULL, NULL, NULL, run_account_export,
	    "Prints all accounts, with their hashes, as JSON, one a line" },
	{ "account import", HERE, import_args, NULL, NULL, NULL, run_account_import,
	    "Takes accounts as account export prints them; the same again changes nothing" },
	{ "auth test", HERE, auth_test_args, NULL, NULL, NULL, run_auth_test,
	    "Tries a login as a client would; the password is asked for" },
	{ "auth failures list", ASK(authd, "auth failures list"), NULL, "failures",
	    failures_columns, NULL, NULL, "Lists clients and accounts with failed logins" },
	{ "auth failures clear", ASK(authd, "auth failures clear"), failures_args, NULL, NULL, NULL,
	    NULL, "Forgives failed logins" },
	{ "config show", HERE, config_show_args, NULL, NULL, NULL, run_config_show,
	    "Prints parameters" },
	{ "config check", HERE, NULL, NULL, NULL, NULL, run_config_check,
	    "Reads main.cf and says what is wrong with it" },
	{ "config set", HERE, config_set_args, NULL, NULL, NULL, run_config_set,
	    "Changes a parameter in main.cf after a check; reload applies it" },
	{ "config diff", HERE, config_diff_args, NULL, NULL, NULL, run_config_diff,
	    "Compares main.cf with what the suite runs with, or with another file" },
	{ "system status", ASK(master, "system status"), NULL, NULL, NULL, NULL, NULL,
	    "Version, age, listeners and processes" },
	{ "system ping", ASK(master, "system ping"), NULL, "processes", ping_columns, NULL, NULL,
	    "Asks every process whether it answers" },
	{ "system processes", ASK(master, "system processes"), NULL, "processes", process_columns,
	    NULL, NULL, "Lists the processes" },
	{ "system confinement", ASK(master, "system confinement"), NULL, "processes",
	    confinement_columns, NULL, NULL, "Shows what the kernel says each process may do" },
	{ "system reload", ASK(master, "system reload"), NULL, NULL, NULL, NULL, NULL,
	    "Applies a changed configuration; no session is dropped" },
	{ "system upgrade", ASK(master, "system upgrade"), NULL, NULL, NULL, NULL, NULL,
	    "Replaces the running programs by the installed ones, in place" },
	{ "system log-level", ASK(master, "system log-level"), level_args, NULL, NULL, NULL, NULL,
	    "Changes what is logged until the next reload" },
	{ "stats", HERE, watch_args, NULL, NULL, NULL, run_stats,
	    "Counters and latency histograms of the whole suite" },
	{ "completion", HERE, shell_args, NULL, NULL, NULL, run_completion,
	    "Prints a completion script for a shell" },
	{ "help", HERE, help_args, NULL, NULL, NULL, run_help,
	    "Lists the commands, or explains one" },
};
const size_t ncommands = NELEMS(commands);
