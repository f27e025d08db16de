# End-to-end tests: shell scripts that drive the program under mpirun.

fr_script_test(e2e layouts_tiny ${CMAKE_CURRENT_SOURCE_DIR}/e2e/layouts.sh tiny)
fr_script_test(e2e layouts_smollm2 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/layouts.sh smollm2)
fr_script_test(e2e resume_tiny ${CMAKE_CURRENT_SOURCE_DIR}/e2e/resume.sh tiny)
fr_script_test(e2e resume_smollm2 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/resume.sh smollm2)
fr_script_test(e2e bad_input ${CMAKE_CURRENT_SOURCE_DIR}/e2e/bad_input.sh)
fr_script_test(e2e stop ${CMAKE_CURRENT_SOURCE_DIR}/e2e/stop.sh)
fr_script_test(e2e commands ${CMAKE_CURRENT_SOURCE_DIR}/e2e/commands.sh)
fr_script_test(e2e plan ${CMAKE_CURRENT_SOURCE_DIR}/e2e/plan.sh)
fr_script_test(e2e launch_fetch_model ${CMAKE_CURRENT_SOURCE_DIR}/e2e/launch_fetch_model.sh)
fr_script_test(e2e launch_build_debdesc ${CMAKE_CURRENT_SOURCE_DIR}/e2e/launch_build_debdesc.sh)
