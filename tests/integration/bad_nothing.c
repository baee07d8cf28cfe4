/* SPDX-License-Identifier: ISC */
/* bad_nothing.c: a shared object that is no handler module. */
int bad_nothing(void);

int
bad_nothing(void)
{
	return (0);
}
