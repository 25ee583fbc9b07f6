/* Linked into the static program only (scripts/package).
 *
 * The C library loads a shared library for each word of /etc/nsswitch.conf that it has not built in (mdns4_minimal,
 * resolve, systemd …). In a static program these bring another version of the C library along, and the program dies
 * with SIGFPE at its first name (seen with glibc 2.36 on Debian 13). So names come from /etc/hosts and from DNS, and
 * users from /etc/passwd, whatever that file says.
 */
int __nss_configure_lookup(const char *database, const char *services);

__attribute__((constructor)) static void only_what_is_built_in(void)
{
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
    __nss_configure_lookup("group", "files");
}
