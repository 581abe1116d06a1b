/* What --help prints, from the table of options. */
#include "options.h"

#define HELP_COLUMN 34

static const char introduction[] =
    "Usage: sluice [serve] [-c FILE] [OPTION...]\n"
    "       sluice uploads [-c FILE] [--root DIR] [--json]\n"
    "       sluice doctor [-c FILE] [OPTION...] [--json] [--quick]\n"
    "       sluice health [URL]\n"
    "\n"
    "Takes files over HTTP and puts them on disk: curl -T photo.jpg http://localhost:8080/\n"
    "With uploads, it lists the unfinished uploads below the root and stops.\n"
    "With doctor, it tells whether it could serve here, how well, and the cure for what is wrong.\n"
    "With health, it asks a running server whether it is alive: exit code 0 or 1.\n"
    "\n"
    "  -c, --config FILE             read a YAML file (or SLUICE_CONFIG); none by default\n"
    "  -h, --help                    print this and stop\n"
    "      --version                 print the version and stop\n"
    "\n";

static const char conclusion[] =
    "\n"
    "Each option is also an environment variable and a key of the file:\n"
    "  --max-size 1Gi, --max-size=1Gi    SLUICE_MAX_SIZE=1Gi    max-size: 1Gi\n"
    "An option wins over the environment, that over the file, that over the default. A list replaces\n"
    "the list it wins over. SIZE takes k, M, G, T (1000) and Ki, Mi, Gi, Ti (1024).\n"
    "Sockets that it is started with (LISTEN_FDS, as by a socket unit of systemd) take the place of all\n"
    "--listen; one that is named tls speaks HTTPS.\n";

void sl_config_help(FILE *out)
{
    fputs(introduction, out);
    for (size_t i = 0; i < SL_OPTIONS; i++) {
        const struct sl_option *option = &sl_options[i];
        int column = fprintf(out, "  --%s %s", option->name, option->form);
        if (column > HELP_COLUMN - 2)
            fprintf(out, "\n%*s", HELP_COLUMN, "");
        else
            fprintf(out, "%*s", HELP_COLUMN - column, "");
        fputs(option->help, out);
        if (option->preset[0] != '\0')
            fprintf(out, " (%s)", option->preset);
        fputc('\n', out);
    }
    fputs(conclusion, out);
}
