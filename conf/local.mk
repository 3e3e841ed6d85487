# SPDX-License-Identifier: ISC
# Samples: what is in /etc is the administrator's and never overwritten.
dist_doc_DATA = conf/main.cf
nodist_doc_DATA = conf/postkeep.service
EXTRA_DIST += conf/postkeep.service.in
CLEANFILES += conf/postkeep.service
conf/postkeep.service: $(top_srcdir)/conf/postkeep.service.in Makefile
	$(AM_V_GEN)mkdir -p conf && $(SED) -e 's|@sbindir[@]|$(sbindir)|g' \
		-e 's|@pk_rundir[@]|$(pk_rundir)|g' \
		$(top_srcdir)/conf/postkeep.service.in > $@.tmp && mv $@.tmp $@
