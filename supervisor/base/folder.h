/* SPDX-License-Identifier: ISC */
/* folder.h: a folder of ours, made where it is missing. */
#ifndef AVTOWORKER_FOLDER_H
#define AVTOWORKER_FOLDER_H

/* Makes a folder and those above it, the last one for us alone. One that is
 * there is left as it is. -1 and errno. */
int folder_make(const char *path);

#endif
