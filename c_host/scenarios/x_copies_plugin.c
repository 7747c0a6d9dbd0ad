/* The plugin of Copies: whose wharf it has. */
#include "wharf.h"

const wharf_api *plugin_api(void);

const wharf_api *plugin_api(void)
{
    return wharf_get_api(WHARF_ABI);
}
