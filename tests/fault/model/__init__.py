# SPDX-License-Identifier: ISC
"""A disk that remembers what is written and what is only hoped for."""
