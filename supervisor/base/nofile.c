/* SPDX-License-Identifier: ISC */
#include "supervisor/base/nofile.h"

int
nofile_raise(rlim_t *original, struct why *why)
{
	struct rlimit limit;
	rlim_t soft;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1) {
		why_errno(why, "cannot read the limit of open files");
		return (-1);
	}
	soft = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	if (soft != limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) == -1) {
		why_errno(why, "cannot raise the limit of open files to %llu",
		    (unsigned long long)limit.rlim_max);
		return (-1);
	}
	*original = soft;
	return (0);
}
