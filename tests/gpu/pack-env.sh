# shellcheck shell=bash
# Sourced by gpu.sh in a pack, with the pack's folder in $tree: where Open MPI finds its parts.
export PATH=$tree/bin:$PATH
export OPAL_PREFIX=$tree/openmpi OPAL_EXEC_PREFIX=$tree/openmpi OPAL_BINDIR=$tree/bin OPAL_LIBDIR=$tree/lib
export OPAL_PKGLIBDIR=$tree/openmpi/plugins OPAL_DATADIR=$tree/openmpi OPAL_PKGDATADIR=$tree/openmpi/help
export OPAL_SYSCONFDIR=$tree/openmpi OMPI_MCA_mca_base_component_path=$tree/openmpi/plugins
export PMIX_PREFIX=$tree/openmpi PMIX_INSTALL_PREFIX=$tree/openmpi PMIX_MCA_mca_base_component_show_load_errors=0
# one node, no batch system; whatever the machine's own Open MPI is told
export OMPI_MCA_plm=isolated OMPI_MCA_ras=^slurm,gridengine OMPI_MCA_btl=self,vader OMPI_MCA_pml=ob1
