# Included by every Makefile.am: flags and the rule for manual pages.
#
# -iquote, not -I: our headers are found by #include "name.h" only, so that a
# header of ours never stands before a system header of the same name.

AM_CPPFLAGS = \
	-iquote $(top_srcdir)/common \
	-iquote $(top_srcdir)/volume \
	-iquote $(top_srcdir)/replica \
	-iquote $(top_srcdir)/pair \
	$(NULL)
AM_CFLAGS = \
	$(WARN_CFLAGS) \
	$(SANITIZER_CFLAGS) \
	-fvisibility=hidden \
	-pthread \
	$(NULL)
AM_LDFLAGS = $(SANITIZER_CFLAGS) -pthread

NULL =
CLEANFILES = *~
EXTRA_DIST =

# A manual page is NAME.pod beside its program; list it as
# man1_MANS = NAME.1 (or man8_MANS = NAME.8) and add NAME.pod to EXTRA_DIST.
POD_RULE = $(AM_V_GEN)$(POD2MAN) --utf8 --center=pairdisk \
	--release="pairdisk $(PACKAGE_VERSION)" --name=$(notdir $*) \
	--section=$(subst .,,$(suffix $@)) $< > $@-t && mv $@-t $@
SUFFIXES = .pod .1 .5 .8
.pod.1:
	$(POD_RULE)
.pod.5:
	$(POD_RULE)
.pod.8:
	$(POD_RULE)
