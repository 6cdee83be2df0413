/* SPDX-License-Identifier: Apache-2.0 */
/* root.h - a root directory in memory that shows some paths of the real one.
 *
 * For a process in mount and user (or privileged) namespaces of its own.
 * Used by: cell.   Does not know: policies, namespaces.
 * Errors: E_SYS with errno, E_LIMIT (a path too long, symlinks without end).
 * Threads: none; it changes the working directory. */
#ifndef TERRARIUM_SANDBOX_ROOT_H
#define TERRARIUM_SANDBOX_ROOT_H

enum { ROOT_READ_ONLY, ROOT_WRITABLE };

/* Begin: an empty root, mounted and entered as working directory. */
int root_begin(void);
/* Show this absolute path in it, at the same place; its symbolic links are
 * shown as such.  What does not exist is E_SYS with ENOENT. */
int root_show(const char *path, int how);
/* An empty directory, to mount on. */
int root_directory(const char *path);
/* Make it the root, read-only, with nothing of the old one left. */
int root_enter(void);

#endif
