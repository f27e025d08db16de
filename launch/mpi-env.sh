# Source this before mpirun: settings that let ranks share this machine's cores, and root start them, and that let mpirun
# end when a rank is killed at its start.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export OMPI_MCA_rmaps_base_oversubscribe=${OMPI_MCA_rmaps_base_oversubscribe:-1}
export OMPI_MCA_mpi_yield_when_idle=${OMPI_MCA_mpi_yield_when_idle:-1}
export OMPI_MCA_hwloc_base_binding_policy=${OMPI_MCA_hwloc_base_binding_policy:-none}
# the same for the launcher of Open MPI 5
export PRTE_MCA_rmaps_default_mapping_policy=${PRTE_MCA_rmaps_default_mapping_policy:-:oversubscribe}
export PRTE_MCA_hwloc_default_binding_policy=${PRTE_MCA_hwloc_default_binding_policy:-none}
# What ranks ask their mpirun for goes by messages: of memory shared with them, a killed rank may keep the lock for ever
# (openpmix issue 1233).
export PMIX_MCA_gds=${PMIX_MCA_gds:-hash}
export OMPI_MCA_btl_base_warn_component_unused=0
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
