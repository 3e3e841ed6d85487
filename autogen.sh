#!/bin/sh
# SPDX-License-Identifier: ISC
# Makes configure and Makefile.in from a checkout.
set -e
cd "$(dirname "$0")"
mkdir -p build-aux
exec autoreconf -i
