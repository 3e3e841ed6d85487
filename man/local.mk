# SPDX-License-Identifier: ISC
# dist_man_MANS += man/postkeep.8
dist_man_MANS += man/postkeep.conf.5
dist_man_MANS += man/adminctl.8
dist_man_MANS += man/master.8
dist_man_MANS += man/logd.8
dist_man_MANS += man/deliver.8
dist_man_MANS += man/lookupd.8
dist_man_MANS += man/dnsd.8
dist_man_MANS += man/postkeep-tables.5
dist_man_MANS += man/smtpd.8
dist_man_MANS += man/adminctl-json.5
dist_man_MANS += man/qmgr.8
