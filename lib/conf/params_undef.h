/* SPDX-License-Identifier: ISC */
/* Included behind every use of params.def. */
#undef PARAM_BOOL
#undef PARAM_INT
#undef PARAM_TIME
#undef PARAM_SIZE
#undef PARAM_STRING
#undef PARAM_LIST
#undef PARAM_ENUM
