#ifndef CLI_INPUT_H
#define CLI_INPUT_H

/* What comes from the user besides the command line: files and standard input, and yes or no. */

#include "cli/cli.h"

/* All of the file, or of standard input for "-", and a NUL behind it into dst; that it is too long
 * for it is an error too. next is what to do instead. ret_len may be NULL. Exit code; the error was
 * printed. */
int input_read(struct cli *cli, const char *path, const char *next, char *dst, size_t size,
	       size_t *ret_len);

/* Before what is asked about is shown: there is somebody to ask. next is what to do without a
 * terminal, outcome what the answer no means ("nothing was sent"). Exit code. */
int input_can_ask(struct cli *cli, const char *next, const char *outcome);
/* "QUESTION? [y/N]". 0 for yes, else the exit code; the error was printed. */
int input_ask(struct cli *cli, const char *question, const char *outcome);

#endif
