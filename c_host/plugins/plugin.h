/* plugin.h - what a host and its plugins know of each other, in C: a sample to copy from. The host opens wharf, and hands its
 * table to each plugin; the plugins are linked with neither. */
#ifndef PLUGIN_H
#define PLUGIN_H

#include "wharf.h"

/* What the host does for a plugin. */
typedef struct host {
    /* The library, open for as long as the plugin is. */
    const wharf_api *wharf;
    /* Has another plugin answer. What goes wrong in there comes through. To be called on the host's stack. */
    long (*ask)(const char *plugin, const char *question);
} host;

/* What a plugin does for the host. */
typedef struct plugin {
    const char *name;
    /* Called in a callback. */
    long (*answer)(const char *question);
    /* Objects of the plugin that live: 0 between answers. */
    long (*alive)(void);
} plugin;

/* The one name that a plugin exports. Both structs stay as long as the plugin is open. */
#define PLUGIN_OPEN "plugin_open"
typedef const plugin *(*plugin_open_fn)(const host *host);

#endif
