# Our own flags stay apart from the builder's CFLAGS, which come last.
AC_DEFUN([DNET_FLAGS], [
	DNET_CFLAGS="-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla"
	DNET_CFLAGS="$DNET_CFLAGS -Wno-unused-parameter -Wno-missing-field-initializers -fno-strict-aliasing"
	DNET_CFLAGS="$DNET_CFLAGS -fstack-protector-strong -fvisibility=hidden"
	AC_ARG_ENABLE([werror],
		[AS_HELP_STRING([--enable-werror], [treat warnings as errors (CI)])],
		[AS_IF([test "$enableval" = yes], [DNET_CFLAGS="$DNET_CFLAGS -Werror"])])
	AC_SUBST([DNET_CFLAGS])
])
