# The configuration and the units, which name other files by where they are: below CMAKE_INSTALL_PREFIX, which is known
# only now, for `cmake --install --prefix` and the package choose it. From config/CMakeLists.txt come source, made, bindir,
# datadir and sysconfdir.
set(prefix "${CMAKE_INSTALL_PREFIX}")
set(unitdir "${prefix}/lib/systemd/system")
set(zshdir zsh/site-functions)
# Of /usr the configuration is in /etc, as GNUInstallDirs has it. Debian 12 has its units in /lib, and for zsh packages a
# folder of their own.
if(prefix STREQUAL "/usr")
    set(unitdir /lib/systemd/system)
    set(zshdir zsh/vendor-completions)
    if(sysconfdir STREQUAL "etc")
        set(sysconfdir /etc)
    endif()
endif()
cmake_path(ABSOLUTE_PATH bindir BASE_DIRECTORY "${prefix}")
cmake_path(ABSOLUTE_PATH datadir BASE_DIRECTORY "${prefix}")
cmake_path(ABSOLUTE_PATH sysconfdir BASE_DIRECTORY "${prefix}")

# put(FOLDER FILE): as it stands, for everybody to read
function(put folder file)
    file(INSTALL DESTINATION "${folder}" TYPE FILE FILES "${file}"
         PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endfunction()

configure_file("${source}/systemd/sluice.service.in" "${made}/sluice.service" @ONLY)
put("${unitdir}" "${made}/sluice.service")
put("${unitdir}" "${source}/systemd/sluice.socket")
put("${unitdir}" "${source}/systemd/sluice-tls.socket")
put("${datadir}/${zshdir}" "${made}/_sluice")
put("${prefix}/lib/sysusers.d" "${source}/systemd/sluice.conf")

# The service is to find its root without its configuration being touched.
file(READ "${source}/sluice.yaml" yaml)
string(REPLACE "\n#root: ./data\n" "
# Here: the one place that sluice.service may write to; another one takes ReadWritePaths= in it, too.
root: /var/lib/sluice
" served "${yaml}")
if(served STREQUAL yaml)
    message(FATAL_ERROR "sluice.yaml has no line #root: ./data")
endif()
# What somebody has made of it stays.
if(NOT EXISTS "$ENV{DESTDIR}${sysconfdir}/sluice/sluice.yaml")
    file(WRITE "${made}/etc/sluice.yaml" "${served}")
    put("${sysconfdir}/sluice" "${made}/etc/sluice.yaml")
endif()
