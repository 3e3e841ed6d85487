# SPDX-License-Identifier: ISC
# Only with --enable-attack; linked behind lib/ipc, which calls it.
if ENABLE_ATTACK
noinst_LIBRARIES += tests/attack/libattack.a
tests_attack_libattack_a_SOURCES = tests/attack/agent.c
install-exec-hook:
	@if [ -z "$(DESTDIR)" ]; then \
		echo "this build lets itself be taken over (--enable-attack): not installed" >&2; \
		exit 1; \
	fi
endif
EXTRA_DIST += tests/attack/agent.c
EXTRA_PROGRAMS += tests/attack/forge
tests_attack_forge_LDADD = $(LIBS_CORE)
