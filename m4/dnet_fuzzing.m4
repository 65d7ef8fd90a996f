# --enable-fuzzing: link the fuzz targets with libFuzzer (needs clang) in place of the corpus replay.
AC_DEFUN([DNET_FUZZING], [
	AC_ARG_ENABLE([fuzzing],
		[AS_HELP_STRING([--enable-fuzzing], [link tests/fuzz with libFuzzer (clang)])],
		[], [enable_fuzzing=no])
	AS_IF([test "$enable_fuzzing" = yes],
		[DNET_CFLAGS="$DNET_CFLAGS -fsanitize=fuzzer-no-link"
		 FUZZ_LDFLAGS="-fsanitize=fuzzer"])
	AC_SUBST([FUZZ_LDFLAGS])
	AM_CONDITIONAL([FUZZING], [test "$enable_fuzzing" = yes])
])
