/* SPDX-License-Identifier: ISC */
/*
 * logd.h: the writer of the log and its parts.
 */
#ifndef PK_LOGD_LOGD_H
#define PK_LOGD_LOGD_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/view.h"
#include "conf/conf.h"

/* ---- format.c ---- */

struct format_line {
	uint64_t	 time_ms;	/* wall */
	const char	*host;
	const char	*program;	/* "postkeep/smtpd" */
	pid_t		 pid;
	enum log_level	 level;
	struct view	 text;		/* cleaned by format_clean */
};

/*
 * Copies text into b; control characters and what is not UTF-8 become '?':
 * a process that was taken over forges no second line. At most
 * LOG_LINE_MAX + 64 bytes, longer text ends in "...".
 */
void	format_clean(struct buf *b, struct view text);
/* "Nov 20 15:17:29 host postkeep/smtpd[12]: text\n", local time. */
void	format_postfix(struct buf *b, const struct format_line *l);
/* One JSON object and a newline. */
void	format_json(struct buf *b, const struct format_line *l);
/* RFC 3164 datagram, facility mail. */
void	format_syslog(struct buf *b, const struct format_line *l);

/* ---- file.c ---- */

struct logfile {
	int		 dirfd;		/* opened before the chroot */
	char		*name;		/* in it */
	int		 fd;
	uint64_t	 size;
	uint64_t	 rotate_size;	/* 0: never */
	unsigned	 rotate_count;
	uint64_t	 lost;		/* lines, since the last write that worked */
	uint64_t	 lost_total;
	int		 lost_errno;
	bool		 torn;		/* the last write ended inside of a line */
};

/* Opens directory and file of `path`; 0 or PK_ESYS (errno). */
int	logfile_open(struct logfile *f, const char *path);
/*
 * Appends whole lines in one write. 0, or PK_ESYS: then the lines that are
 * not in the file are counted in f->lost. With *lost_r set the caller says
 * so in the log: lines were lost before and this write worked.
 */
int	logfile_write(struct logfile *f, struct view lines, uint64_t *lost_r);
/* Opens the file anew (somebody moved it). */
int	logfile_reopen(struct logfile *f);
/* mail.log -> mail.log.1 -> ... -> mail.log.COUNT -> nothing. */
int	logfile_rotate(struct logfile *f);
void	logfile_close(struct logfile *f);

#endif
