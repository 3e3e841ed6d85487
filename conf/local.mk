# SPDX-License-Identifier: ISC
EXTRA_DIST += conf/main.cf
