# End-to-end tests: shell scripts that drive the program under mpirun; e2e.NAME is NAME.sh.
foreach(name
    sharing pipeline saves bad_input odd_files old_files multitask sweep stop generate commands plan
    node_memory launch_fetch_model launch_fetch_vocabularies launch_build_debdesc launch_hostile launch_gpus reparam readme layers hostile_files
    isa convert chat_settings outside_ids nonfinite readers rows templates words answers row_files data_forms epochs data_check large_data launch_line_ends
    what_files_are run_folder best first_hour init_text json limits chat_templates outputs try_it generate_options chat chat_terminal
    wait_rank where_models window peft export_llama prefix_command python_module serve
    eval_generate first_task)
    fr_script_test(e2e ${name} ${CMAKE_CURRENT_SOURCE_DIR}/e2e/${name}.sh)
endforeach()
fr_script_test(e2e layouts_tiny ${CMAKE_CURRENT_SOURCE_DIR}/e2e/layouts.sh tiny)
fr_script_test(e2e layouts_smollm2 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/layouts.sh smollm2)
fr_script_test(e2e one_arithmetic_tiny ${CMAKE_CURRENT_SOURCE_DIR}/e2e/one_arithmetic.sh tiny)
fr_script_test(e2e one_arithmetic_smollm2 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/one_arithmetic.sh smollm2)
fr_script_test(e2e families_always ${CMAKE_CURRENT_SOURCE_DIR}/e2e/families.sh always)
fr_script_test(e2e families_slides ${CMAKE_CURRENT_SOURCE_DIR}/e2e/families.sh slides)
fr_script_test(e2e quantised_tiny ${CMAKE_CURRENT_SOURCE_DIR}/e2e/quantised.sh tiny)
fr_script_test(e2e quantised_smollm2 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/quantised.sh smollm2)
fr_script_test(e2e resume_tiny ${CMAKE_CURRENT_SOURCE_DIR}/e2e/resume.sh tiny)
fr_script_test(e2e resume_smollm2 ${CMAKE_CURRENT_SOURCE_DIR}/e2e/resume.sh smollm2)

if(NOT FORERUN_SANITIZE) # a sanitizer's library must come first
    add_library(fr_node_shim MODULE ${CMAKE_CURRENT_LIST_DIR}/node_shim.c)
    target_link_libraries(fr_node_shim PRIVATE fr_options MPI::MPI_C)
    fr_script_test(e2e shared_cache ${CMAKE_CURRENT_LIST_DIR}/shared_cache.sh $<TARGET_FILE:fr_node_shim>)
endif()
