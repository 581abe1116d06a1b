# What Debian wants of a tree that others take as `cmake --install` leaves it: licenses, changes and manual pages in its
# own form. CPack runs this between the tree and the package.
set(root "${CPACK_TEMPORARY_DIRECTORY}")
set(doc "${root}/usr/share/doc/sluice")
file(GLOB_RECURSE pages "${root}/usr/share/man/*")

file(READ "${doc}/LICENSE" license)
file(REMOVE "${doc}/LICENSE")
string(REGEX MATCH "Copyright \\(c\\) ([^\n]*)\n+(.*)" found "${license}")
if(NOT found)
    message(FATAL_ERROR "LICENSE does not tell whose it is")
endif()
set(holder "${CMAKE_MATCH_1}")
string(STRIP "${CMAKE_MATCH_2}" terms)
string(REPLACE "\n\n" "\n.\n" terms "${terms}")
string(REPLACE "\n" "\n " terms "${terms}")
file(WRITE "${doc}/copyright" "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: sluice

Files: *
Copyright: ${holder}
License: Expat
 ${terms}
")

# SOURCE_DATE_EPOCH, if it is set.
string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE "${doc}/changelog" "sluice (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium

  * Built by CPack from the sources of this version, whose log tells what
    has changed.

 -- ${CPACK_DEBIAN_PACKAGE_MAINTAINER}  ${now}
")

foreach(file IN LISTS pages ITEMS "${doc}/changelog")
    execute_process(COMMAND gzip -9n "${file}" COMMAND_ERROR_IS_FATAL ANY)
endforeach()
execute_process(COMMAND strip --remove-section=.comment --remove-section=.note "${root}/usr/bin/sluice"
                COMMAND_ERROR_IS_FATAL ANY)
# Whatever umask it was made with.
set(all OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
file(GLOB_RECURSE paths LIST_DIRECTORIES true "${root}/*")
foreach(path IN LISTS paths)
    if(IS_DIRECTORY "${path}" OR path MATCHES "/usr/bin/")
        file(CHMOD "${path}" PERMISSIONS ${all} OWNER_EXECUTE GROUP_EXECUTE WORLD_EXECUTE)
    else()
        file(CHMOD "${path}" PERMISSIONS ${all})
    endif()
endforeach()
