#include "cli/qr.h"

#include "config.h"

#include <stdio.h>

#ifdef HAVE_QRENCODE

#include <qrencode.h>

enum { QUIET = 4 }; /* light modules around it (ISO/IEC 18004, 5.3.8) */

static bool is_dark(const QRcode *code, int x, int y)
{
	if (x < 0 || y < 0 || x >= code->width || y >= code->width)
		return false;
	return code->data[y * code->width + x] & 1;
}

/* Two modules a character, black on white whatever the terminal's colours are. */
static void print(const QRcode *code)
{
	static const char *const halves[] = {" ", "\u2584", "\u2580", "\u2588"};

	for (int y = -QUIET; y < code->width + QUIET; y += 2) {
		fputs("\033[30;107m", stdout);
		for (int x = -QUIET; x < code->width + QUIET; x++)
			fputs(halves[is_dark(code, x, y) * 2 + is_dark(code, x, y + 1)], stdout);
		puts("\033[0m");
	}
}

int qr_print(struct cli *cli, const char *text)
{
	QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);

	if (!code)
		return cli_error(cli, CLI_FAILED, "give the link itself",
				 "it does not fit into a QR code");
	print(code);
	QRcode_free(code);
	return 0;
}

#else

int qr_print(struct cli *cli, const char *text)
{
	(void)text;
	return cli_error(cli, CLI_FAILED, "apt-get install libqrencode-dev, then configure again",
			 "this dnet was built without libqrencode");
}

#endif
