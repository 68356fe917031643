"""The flags of the DeepLab family, by the command here that takes the place of each program.

The family's scripts share flag files, so a command accepts all of these names: one that has an
effect in another command only is named in a notice, not refused.
"""

from __future__ import annotations


def _set(names: str) -> frozenset:
    return frozenset(names.split())


# Of every program that builds the network.
_NETWORK = _set(
    """
    add_image_level_feature aspp_convs_filters aspp_with_batch_norm aspp_with_concat_projection
    aspp_with_separable_conv aspp_with_squeeze_and_excitation atrous_rates batch_norm_decay
    decoder_filters decoder_output_is_logits decoder_output_stride decoder_use_separable_conv
    decoder_use_sum_merge dense_prediction_cell_json depth_multiplier divisible_by
    image_pooling_crop_size image_pooling_stride image_pyramid image_se_uses_qsigmoid
    keep_aspect_ratio label_weights logits_kernel_size max_resize_value merge_method
    min_resize_value model_variant multi_grid nas_remove_os32_stride
    nas_stem_output_num_conv_filters nas_use_classification_head output_stride
    prediction_with_upsampled_logits quantize_delay_step resize_factor use_bounded_activation
    """
)
# Of the Ascend port's train_npu.py, for both of its modes.
_PORT = _set(
    """
    adam_epsilon adam_learning_rate add_flipped_images base_learning_rate bias_multiplier
    checkpoint_dir dataset dataset_dir debug decay_steps display_every do_checkpoint
    drop_path_keep_prob end_learning_rate eval_batch_size eval_crop_size eval_scales eval_split
    fine_tune_batch_norm hard_example_mining_step initialize_last_layer iterations_per_loop
    last_layer_gradient_multiplier last_layers_contain_logits_only learning_policy
    learning_power learning_rate_decay_factor learning_rate_decay_step log_name log_steps
    max_number_of_evaluations max_scale_factor max_to_save min_scale_factor mode momentum
    num_evaluating_samples num_training_samples optimizer profile_logdir rank
    save_checkpoints_steps save_interval_secs save_summaries_images save_summaries_secs
    scale_factor_step_size shard slow_start_learning_rate slow_start_step tf_initial_checkpoint
    top_k_percent_pixels train_batch_size train_crop_size train_logdir train_split
    training_number_of_steps upsample_logits weight_decay
    """
)
# Of the ancestor's train.py, beside those of train_npu.py.
_TRAIN = _set(
    """
    clone_on_cpu master num_clones num_ps_tasks num_replicas over_dump over_dump_path
    startup_delay_steps task
    """
)
# Of eval.py.
_EVAL = _set(
    """
    add_flipped_images checkpoint_dir dataset dataset_dir eval_batch_size eval_crop_size
    eval_interval_secs eval_logdir eval_scales eval_split master max_number_of_evaluations
    """
)
# Of vis.py.
_VIS = _set(
    """
    add_flipped_images also_save_raw_predictions checkpoint_dir colormap_type dataset
    dataset_dir eval_interval_secs eval_scales master max_number_of_iterations vis_batch_size
    vis_crop_size vis_logdir vis_split
    """
)
# Of export_model.py.
_EXPORT = _set(
    """
    add_flipped_images checkpoint_path crop_size export_path inference_scales num_classes
    save_inference_graph
    """
)
# Of build_voc2012_data.py, build_cityscapes_data.py and build_ade20k_data.py.
_CONVERT = _set(
    """
    cityscapes_root image_folder image_format label_format list_folder output_dir
    semantic_segmentation_folder train_image_folder train_image_label_folder val_image_folder
    val_image_label_folder
    """
)
# Of remove_gt_colormap.py.
_INDEX_MASKS = _set(
    """
    original_gt_folder output_dir segmentation_format
    """
)

# Verb, or module of `datasets/` -> the flags of its counterparts in the family.
BY_VERB = {
    "train": _NETWORK | _PORT | _TRAIN,
    "evaluate": _NETWORK | _PORT | _EVAL,
    "visualize": _NETWORK | _VIS,
    "export": _NETWORK | _EXPORT,
    "convert": _CONVERT,
    "index_masks": _INDEX_MASKS,
}
NAMES = frozenset().union(*BY_VERB.values())
