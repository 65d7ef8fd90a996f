# --enable-sanitizers[=LIST]: address,undefined when no list is given.
AC_DEFUN([DNET_SANITIZERS], [
	AC_ARG_ENABLE([sanitizers],
		[AS_HELP_STRING([--enable-sanitizers@<:@=LIST@:>@], [build with these sanitizers (address,undefined)])],
		[], [enable_sanitizers=no])
	AS_IF([test "$enable_sanitizers" = yes], [enable_sanitizers=address,undefined])
	AS_IF([test "$enable_sanitizers" != no],
		[DNET_CFLAGS="$DNET_CFLAGS -fsanitize=$enable_sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer"])
	AM_CONDITIONAL([SANITIZED], [test "$enable_sanitizers" != no])
])
