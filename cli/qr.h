#ifndef CLI_QR_H
#define CLI_QR_H

/* A text as a QR code on the terminal. */

#include "cli/cli.h"

/* Exit code; the error was printed. */
int qr_print(struct cli *cli, const char *text);

#endif
