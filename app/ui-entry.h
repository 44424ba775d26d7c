/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where the command line hands over to the window. The window is a module (libalcove-ui.so, built
 * in ui/), loaded with GModule only when one is opened, so a verb never loads GTK. The module finds
 * app's symbols in the alcove program: it is linked with dep_app_headers, never with dep_app, or
 * every GObject type would be registered twice. */
#pragma once

#define ALCOVE_UI_ENTRY "alcove_ui_main"

/**
 * AlcoveUiMain:
 * @argc: number of arguments
 * @argv: "alcove", then either nothing (the library window), or "--view" and a machine: its folder
 *        name, uuid, name, or the path of its folder (which need not be in the library), or
 *        "--import" and the path of a file: the assistant that makes a machine of it
 *
 * The module exports `int alcove_ui_main (int argc, char **argv)` with this type. Returns: the exit
 * status. Thread: the main thread.
 */
typedef int (*AlcoveUiMain) (int argc, char **argv);
