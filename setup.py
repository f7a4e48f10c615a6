from setuptools import setup

from build_backend import extensions

setup(ext_modules=extensions())
