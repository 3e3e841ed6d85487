# SPDX-License-Identifier: ISC
"""What the scenario tests stand on: an installed suite, clients, servers, DNS."""
