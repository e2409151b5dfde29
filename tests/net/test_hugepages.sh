#!/bin/bash
# scripts/hugepages: what check asks for can be had, on a node and anywhere; and all or nothing.
# alone: it changes the host's huge pages
. "$(dirname "$0")/lib.sh"
not_on_dpdk "huge pages: no gateway has a part in it"
pages_before=$(cat /proc/sys/vm/nr_hugepages) overcommit=$(cat /proc/sys/vm/nr_overcommit_hugepages)
give_back() { echo "$pages_before" >/proc/sys/vm/nr_hugepages; }
free() { cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages; }
check "pages anywhere" "$root/scripts/hugepages" any $(($(free) + 20))
check "pages on node 0" "$root/scripts/hugepages" 0 $(($(free) + 20))
check "forty more are there" test "$(cat /proc/sys/vm/nr_hugepages)" = $((pages_before + 40))
check "asking again changes nothing" "$root/scripts/hugepages" 0 "$(free)"
check "it lists nodes" sh -c "'$root/scripts/hugepages' | grep -q '^node 0: .* pages of 2 MiB'"
check "a node that is not there is refused" sh -c "! '$root/scripts/hugepages' 999 5 2>/dev/null"
check "more than there can be is refused with a line" \
    sh -c "'$root/scripts/hugepages' any 100000000 2>&1 | grep -q 'there is memory for'"
check "and nothing is kept" test "$(cat /proc/sys/vm/nr_hugepages)" = $((pages_before + 40))
check "surplus pages are no more allowed than before" test "$(cat /proc/sys/vm/nr_overcommit_hugepages)" = "$overcommit"
give_back
finish
