"""The arguments of a step in a job file: a selection of FaceFusion's, enough for the size and the shape of real files."""

import os


def of_step(step, output):
    name, _ = os.path.splitext(step["target"])
    return {
        "source_paths": [name + "-source.jpg"],
        "target_path": step["target"],
        "output_path": output,
        "face_detector_model": "yolo_face",
        "face_detector_size": "640x640",
        "face_detector_margin": [0, 0, 0, 0],
        "face_detector_angles": [0],
        "face_detector_score": 0.5,
        "face_landmarker_model": "2dfan4",
        "face_selector_mode": "reference",
        "face_selector_gender": None,
        "reference_frame_number": 0,
        "face_mask_types": ["box"],
        "face_mask_padding": [0, 0, 0, 0],
        "trim_frame_start": None,
        "trim_frame_end": None,
        "temp_frame_format": "png",
        "output_video_encoder": "libx264",
        "output_video_preset": "veryfast",
        "output_video_quality": 80,
        "output_video_fps": 25.0,
        "processors": step["processors"],
        "face_swapper_model": "hyperswap_1a_256",
        "face_enhancer_model": "gfpgan_1.4",
        "frame_enhancer_model": "span_kendata_x4",
    }
